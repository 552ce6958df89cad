/* What the page is made of is asked for before the code that draws it has come; `evenkeel.js` hands it over. */
window.evenkeelBegun = {};
["/_dash-layout", "/_dash-dependencies"].forEach(function (path) {
  const answer = fetch(path, { headers: { "X-Evenkeel-Page": location.pathname } });
  answer.catch(function () {}); /* whoever takes it sees that it failed, and asks again */
  window.evenkeelBegun[path] = answer;
});
