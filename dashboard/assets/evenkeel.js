/* What only the browser can do: filter, show pulses in place, draw tables, and say when the server is silent. */
(function () {
  "use strict";

  const GRID = "triage-grid";

  function gridApi() {
    if (!window.dash_ag_grid || !document.querySelector("#" + GRID + " .ag-root")) return null;
    try {
      return window.dash_ag_grid.getApi(GRID);
    } catch (notYet) {
      return null;
    }
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.evenkeel = {
    /* Only the cells that changed are drawn, so that focus, order and scroll stay where they are. */
    showPulses: function (pulses) {
      const api = gridApi(), moved = [];
      if (api && pulses) {
        api.forEachNode(function (node) {
          const fresh = pulses[node.data.subject_id];
          if (!fresh || (fresh.last === node.data.last && fresh.bpm === node.data.bpm)) return;
          Object.assign(node.data, fresh);
          moved.push(node);
        });
        if (moved.length) api.refreshCells({ rowNodes: moved, columns: ["last"], force: true });
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

  /* Whom the list shows: everybody, a level, or a saved view; remembered in this browser tab. */
  const SILENT_MS = 48 * 3600 * 1000;
  let view = "all";

  function isSilent(row) {
    return row.fill === "lost" || row.last_ms === null || Date.now() - row.last_ms > SILENT_MS;
  }

  function isInView(row) {
    if (view === "all") return true;
    if (view === "mine") return row.is_mine;
    if (view === "new") return row.is_new;
    if (view === "silent") return isSilent(row);
    return row.fill === view;
  }

  function markViews() {
    const api = gridApi();
    document.querySelectorAll(".view").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    });
    const silent = document.querySelector('[data-count="silent"]');
    if (!api || !silent) return;
    let count = 0;
    api.forEachNode(function (node) {
      if (isSilent(node.data)) count += 1;
    });
    if (silent.textContent !== String(count)) silent.textContent = String(count);
  }

  function chooseView(name) {
    const api = gridApi();
    if (!api) return;
    view = name;
    api.setGridOption("isExternalFilterPresent", function () { return view !== "all"; });
    api.setGridOption("doesExternalFilterPass", function (node) { return isInView(node.data); });
    api.onFilterChanged();
    markViews();
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest ? event.target.closest(".view") : null;
    if (button) chooseView(button.dataset.view);
    if (event.target.id === "print-sheet") window.print();
  });

  document.addEventListener("keydown", function (event) {
    const search = document.getElementById("triage-filter");
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (!search) return;
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      search.focus();
    } else if (event.target === search && (event.key === "Enter" || event.key === "ArrowDown")) {
      const api = gridApi();
      if (api && api.getDisplayedRowCount()) {
        event.preventDefault();
        api.setFocusedCell(0, "subject_id");
      }
    }
  });

  /* The live page draws what it has seen itself, two minutes of it: no question more to the server. */
  const TRACE_S = 120, TRACE_WIDTH = 220, TRACE_HEIGHT = 34, LEAST_SPAN_BPM = 20;
  const seenRates = new Map();

  function tracePath(rates) {
    const known = rates.filter(function (rate) { return rate !== null; });
    if (known.length < 2) return "";
    const low = Math.min.apply(null, known), high = Math.max.apply(null, known);
    const middle = (low + high) / 2, span = Math.max(high - low, LEAST_SPAN_BPM) * 1.1;
    let path = "", isDrawing = false;
    rates.forEach(function (rate, at) {
      if (rate !== null) {
        const x = ((TRACE_S - rates.length + at) / (TRACE_S - 1)) * TRACE_WIDTH;
        const y = TRACE_HEIGHT / 2 - ((rate - middle) / span) * TRACE_HEIGHT;
        path += (isDrawing ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1);
      }
      isDrawing = rate !== null;
    });
    return path;
  }

  function drawTrace(card) {
    const link = card.querySelector("a"), number = card.querySelector(".live-bpm");
    if (!link || !number) return;
    const rates = seenRates.get(link.pathname) || [];
    const rate = parseInt(number.textContent, 10);
    rates.push(Number.isNaN(rate) ? null : rate);
    if (rates.length > TRACE_S) rates.shift();
    seenRates.set(link.pathname, rates);
    let drawing = card.querySelector(".live-trace");
    if (!drawing) {
      drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      drawing.setAttribute("class", "live-trace");
      drawing.setAttribute("viewBox", "0 0 " + TRACE_WIDTH + " " + TRACE_HEIGHT);
      drawing.setAttribute("aria-hidden", "true");
      drawing.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
      card.appendChild(drawing);
    }
    drawing.firstChild.setAttribute("d", tracePath(rates));
  }

  setInterval(function () { document.querySelectorAll(".live-card").forEach(drawTrace); }, 1000);

  /* What is in sight is drawn first, one chart after the other; the rest when the browser has nothing to do, or
     when it comes near what is in sight. A sheet of paper shows all. */
  const NEAR = "50%";
  const whenIdle = window.requestIdleCallback || function (draw) { setTimeout(draw, 0); };
  const waiting = new Map();
  let isRestDue = false;

  /* Labels lie flat, and a narrow chart has room for few of them. */
  const NARROW_PX = 440, FEW = 5;

  function withFewLabels(axis) {
    const span = axis.range ? Math.abs(new Date(axis.range[1]) - new Date(axis.range[0])) : 0;
    const fewer = {};
    if (axis.nticks > FEW) fewer.nticks = FEW;
    if (axis.dtick > 0 && span / axis.dtick > FEW) fewer.dtick = 2 * axis.dtick;
    return Object.assign({}, axis, fewer);
  }

  function fitted(graph, figure) {
    if (graph.clientWidth >= NARROW_PX) return figure;
    const layout = Object.assign({}, figure.layout);
    Object.keys(layout).forEach(function (part) {
      if (part.startsWith("xaxis")) layout[part] = withFewLabels(layout[part]);
    });
    return Object.assign({}, figure, { layout: layout });
  }

  function drawChart(graph) {
    const asked = waiting.get(graph);
    if (!asked) return;
    waiting.delete(graph);
    near.unobserve(graph);
    asked.done(graph.isConnected ? asked.draw(graph, fitted(graph, asked.figure)) : graph);
    drawRest();
  }

  function drawRest() {
    if (isRestDue || !waiting.size) return;
    isRestDue = true;
    whenIdle(function () {
      isRestDue = false;
      const next = waiting.keys().next();
      if (!next.done) drawChart(next.value);
    });
  }

  const near = new IntersectionObserver(function (seen) {
    seen.forEach(function (each) {
      if (each.isIntersecting) setTimeout(drawChart, 0, each.target);
    });
  }, { rootMargin: NEAR });

  const askedParts = new WeakMap(); /* of each chart: the parts of the layout it was last asked to have */

  /* After a zoom Dash hands back what plotly has just drawn; to draw it again would delay the samples. */
  function isDrawn(graph, figure) {
    const before = askedParts.get(graph), parts = {};
    Object.keys(figure.layout || {}).forEach(function (part) {
      parts[part] = JSON.stringify(figure.layout[part]);
    });
    askedParts.set(graph, parts);
    return Boolean(before) && graph.data === figure.data && Object.keys(parts).every(function (part) {
      return parts[part] === before[part] || parts[part] === JSON.stringify(graph.layout[part]);
    });
  }

  function drawWhenNear(draw, graph, figure) {
    const isOld = isDrawn(graph, figure);
    if (graph.data) return isOld ? Promise.resolve(graph) : draw(graph, fitted(graph, figure));
    const before = waiting.get(graph);
    return new Promise(function (done) {
      const all = function (drawn) { if (before) before.done(drawn); done(drawn); };
      waiting.set(graph, { draw: draw, figure: figure, done: all });
      near.observe(graph);
      drawRest();
    });
  }

  if (window.Plotly) window.Plotly.react = drawWhenNear.bind(null, window.Plotly.react);
  window.addEventListener("beforeprint", function () { [...waiting.keys()].forEach(drawChart); });

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
    if (document.querySelector(".view:not([aria-pressed]), .count[data-count=silent]:empty")) markViews();
    changes.forEach(function (change) {
      if (change.type === "attributes") drawIfOpen(change.target);
      change.addedNodes.forEach(function (node) {
        if (node.dataset && node.dataset.table) drawIfOpen(node);
      });
    });
  }).observe(document.documentElement, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-table"],
  });

  /* What moves must not look current when nothing arrives: after some seconds of silence a banner says so. */
  const SILENT_AFTER_MS = 15000, AGAIN_AFTER_MS = 4000;
  let isPolling = false, isStoreAway = false, lastAnswerMs = Date.now(), askedAgain = 0;

  function showSilence(isSilent) {
    const banner = document.getElementById("silence");
    document.documentElement.classList.toggle("is-stale", isSilent);
    if (!banner) return;
    const said = (isStoreAway ? "The store of samples does not answer" : "No answer from evenkeel") +
      (isPageEmpty() ? ". " : (isStoreAway ? "; nothing new since " : " since ") +
      new Date(lastAnswerMs).toLocaleTimeString("en-GB") +
      ". What is shown may be old, and no heart rate is current. ") +
      "The page asks again by itself; if this lasts, call whoever runs evenkeel.";
    if (isSilent && banner.textContent !== said) banner.textContent = said; /* once: it is read aloud */
    banner.hidden = !isSilent;
  }

  function isPageEmpty() {
    const page = document.getElementById("page");
    return !page || !page.hasChildNodes();
  }

  const LEAVING = new Promise(function () {}); /* keeps Dash waiting while the browser goes elsewhere */

  function heard(answer) {
    isStoreAway = answer.status === 503;
    if (answer.status === 401) {
      window.location.assign("/sign-in?ended");
      return LEAVING;
    }
    if (answer.status === 404) { /* no longer a patient of this user */
      window.location.reload();
      return LEAVING;
    }
    if (answer.ok) lastAnswerMs = Date.now();
    return answer;
  }

  function unheard(error) {
    isStoreAway = false;
    throw error;
  }

  /* What a page is made of is asked for until it comes: Dash itself would leave a hole. */
  function persistent(address, options) {
    let isAgain = false;
    function over(outcome) {
      if (isAgain) askedAgain -= 1;
      if (!askedAgain) showSilence(false);
      return outcome;
    }
    function again() {
      if (!isAgain) askedAgain += 1;
      isAgain = true;
      showSilence(true);
      options.headers.set("X-Evenkeel-Again", "1");
      return new Promise(function (done) { setTimeout(done, AGAIN_AFTER_MS); }).then(attempt);
    }
    function attempt() {
      return ask(address, options).then(heard, unheard).then(
        function (answer) { return answer.status === 503 ? again() : over(answer); },
        function (error) {
          if (error instanceof TypeError) return again();
          throw over(error);
        });
    }
    return attempt();
  }

  setInterval(function () {
    if (isPolling && !askedAgain) showSilence(Date.now() - lastAnswerMs > SILENT_AFTER_MS);
  }, 1000);

  /* Reading is activity, too: the server ends sessions of pages that only refresh themselves. */
  let isActive = false;
  ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"].forEach(function (kind) {
    document.addEventListener(kind, function () { isActive = true; }, { capture: true, passive: true });
  });

  const fetchAnew = window.fetch;

  /* What `begin.js` has asked for is here or on its way. */
  function ask(address, options) {
    const begun = window.evenkeelBegun || {}, answer = begun[address];
    delete begun[address];
    return answer || fetchAnew.call(window, address, options);
  }

  window.fetch = function (address, options) {
    const isLayout = String(address).includes("/_dash-layout");
    if (!isLayout && !String(address).includes("/_dash-update-component")) return ask(address, options);
    const told = Object.assign({}, options, { headers: new Headers((options || {}).headers) });
    if (isLayout) {
      told.headers.set("X-Evenkeel-Page", window.location.pathname);
      return persistent(address, told);
    }
    if (isActive) told.headers.set("X-Evenkeel-Active", "1");
    isActive = false;
    const isTick = String(told.body).includes(".n_intervals");
    if (isTick) isPolling = true;
    return isTick ? ask(address, told).then(heard, unheard) : persistent(address, told);
  };

  /* On paper "0 s ago" means nothing without the time. */
  window.addEventListener("beforeprint", function () {
    const line = document.getElementById("printed");
    if (line) {
      line.textContent = "Printed " + new Date().toLocaleString("en-GB") + " by " + line.dataset.user +
        "; ages and heart rate are of that moment.";
    }
  });

  /* After signing out, the button Back must not bring a page of patients from the browser's memory. */
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) window.location.reload();
  });
})();
