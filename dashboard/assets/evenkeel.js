/* What only the browser can do: open rows, filter, show pulses in place, leave when the session has ended. */
(function () {
  "use strict";

  const GRID = "triage-grid";

  function gridApi() {
    return window.dash_ag_grid ? window.dash_ag_grid.getApi(GRID) : null;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.evenkeel = {
    /* Only the cells that changed are set, so that focus, order and scroll stay where they are. */
    showPulses: function (pulses) {
      const api = gridApi();
      if (api && pulses) {
        api.forEachNode(function (node) {
          const fresh = pulses[node.data.subject_id];
          if (!fresh) return;
          node.data.last = fresh.last;
          node.setDataValue("last_ms", fresh.last_ms);
          node.setDataValue("bpm", fresh.bpm);
        });
      }
      return window.dash_clientside.no_update;
    },

    filterRows: function (text) {
      const api = gridApi();
      if (api) api.setGridOption("quickFilterText", text || "");
      return window.dash_clientside.no_update;
    },

    nightOfClick: function () {
      const none = window.dash_clientside.no_update;
      const triggered = window.dash_clientside.callback_context.triggered;
      const click = triggered.length ? triggered[0].value : null;
      return click && click.points.length ? String(click.points[0].x).slice(0, 10) : none;
    },
  };

  /* Tables come as data and are drawn when somebody opens them, and again when their data change. */
  function row(cells, tag) {
    const made = document.createElement("tr");
    cells.forEach(function (text) {
      const cell = document.createElement(tag);
      cell.textContent = text;
      if (tag === "th") cell.scope = "col";
      made.appendChild(cell);
    });
    return made;
  }

  function drawTable(holder) {
    const rows = JSON.parse(holder.dataset.table);
    const table = document.createElement("table");
    table.createTHead().appendChild(row(rows[0], "th"));
    const body = table.createTBody();
    rows.slice(1).forEach(function (cells) { body.appendChild(row(cells, "td")); });
    holder.replaceChildren(table);
  }

  function drawIfOpen(holder) {
    const details = holder.closest("details");
    if (details && details.open) drawTable(holder);
  }

  document.addEventListener("toggle", function (event) {
    event.target.querySelectorAll("[data-table]").forEach(drawIfOpen);
  }, true);

  new MutationObserver(function (changes) {
    changes.forEach(function (change) {
      if (change.type === "attributes") drawIfOpen(change.target);
      change.addedNodes.forEach(function (node) {
        if (node.dataset && node.dataset.table) drawIfOpen(node);
      });
    });
  }).observe(document.documentElement, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-table"],
  });

  /* A session that ended answers 401: do not leave patients on the screen. */
  const ask = window.fetch;
  window.fetch = function () {
    return ask.apply(this, arguments).then(function (answer) {
      if (answer.status === 401) window.location.assign("/sign-in");
      return answer;
    });
  };
})();
