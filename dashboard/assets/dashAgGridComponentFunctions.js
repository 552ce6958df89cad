/* Cells of the list of patients. Gaps stay gaps; every drawing says in words what it shows. */
(function () {
  "use strict";

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const make = function () {
    return window.React.createElement.apply(null, arguments);
  };
  const WIDTH = 80, HEIGHT = 30, EDGE = 4, LIMIT_Z = 3.5, STEPS = 35, FIRST_CODE = 35, BAND_Z = 2;
  const BAR_WIDTH = 76, BAR_HEIGHT = 20;

  cells.Level = function (props) {
    const row = props.data;
    return make("span", { className: "level " + row.fill },
      make("span", { "aria-hidden": true }, row.shape), " ", row.level);
  };

  cells.Patient = function (props) {
    const row = props.data;
    return make("span", { className: "patient-cell" },
      make("span", null,
        make("a", { href: row.href, tabIndex: -1 }, row.subject_id), " ",
        row.is_simulated ? make("span", { className: "badge-simulated" }, "simulated") : null),
      row.name ? make("span", { className: "display-name" }, row.name) : null);
  };

  cells.Status = function (props) {
    if (!props.value) return make("span", { className: "quiet" }, "–");
    return make("span", { className: "state state-" + props.value }, props.value);
  };

  cells.LastData = function (props) {
    const bpm = props.data.bpm;
    if (bpm === null || bpm === undefined) return make("span", null, props.value);
    return make("span", { className: "patient-cell" },
      make("span", null, props.value),
      make("span", { className: "live-cell" },
        make("span", { className: "shape-live", "aria-hidden": true }, "●"), " ",
        make("b", null, Math.round(bpm)), make("span", { className: "unit" }, "/min")));
  };

  function runs(isHeld, length) {
    const found = [];
    let start = -1;
    for (let at = 0; at <= length; at++) {
      const held = at < length && isHeld(at);
      if (held && start < 0) start = at;
      if (!held && start >= 0) {
        found.push([start, at]);
        start = -1;
      }
    }
    return found;
  }

  /* A letter for each night: the distance from usual in robust SD; the first letter is where the band begins. */
  function decode(text) {
    const z = [];
    for (let at = 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      z.push(code === 32 ? null : ((code - FIRST_CODE) * 2 * LIMIT_Z) / STEPS - LIMIT_Z);
    }
    return { z: z, begin: text.charCodeAt(0) - FIRST_CODE };
  }

  function y(z) {
    return HEIGHT / 2 - (z / LIMIT_Z) * (HEIGHT / 2 - EDGE);
  }

  /* One element for all of a kind: a hundred small ones a row would keep the browser busy. */
  function path(name, drawn) {
    return make("path", { key: name, className: name, d: drawn });
  }

  cells.Sparkline = function (props) {
    if (!props.value) return make("span", { className: "quiet" }, "–");
    const series = decode(props.value), z = series.z, length = z.length, parts = [];
    const step = (WIDTH - 2 * EDGE) / Math.max(1, length - 1);
    const x = function (at) { return EDGE + at * step; };
    const place = function (at) { return x(at).toFixed(1) + " " + y(z[at]).toFixed(1); };
    const isOutside = function (at) { return at >= series.begin && z[at] !== null && Math.abs(z[at]) > BAND_Z; };
    if (series.begin < length) {
      const left = Math.max(0, x(series.begin) - step / 2);
      parts.push(make("rect", { key: "b", className: "spark-band", x: left, y: y(BAND_Z), width: WIDTH - left, height: y(-BAND_Z) - y(BAND_Z), rx: 1.5 }));
    }
    let missing = 0, outside = 0, line = "", dots = "", marks = "";
    runs(function (at) { return z[at] !== null; }, length).forEach(function (run) {
      if (run[1] - run[0] === 1) dots += "M" + place(run[0]) + "h0";
      else for (let at = run[0]; at < run[1]; at++) line += (at === run[0] ? "M" : "L") + place(at);
    });
    for (let at = 0; at < length; at++) {
      if (z[at] === null) missing += 1;
      if (!isOutside(at)) continue;
      outside += 1;
      marks += "M" + x(at).toFixed(1) + " " + (y(z[at]) - 2.8).toFixed(1) + "l2.8 2.8-2.8 2.8-2.8-2.8z";
    }
    if (line) parts.push(path("spark-line", line));
    if (dots) parts.push(path("spark-dot", dots));
    if (marks) parts.push(path("spark-outside", marks));
    const said = length + " nights: " + outside + " outside own band, " + missing + " without a value";
    return make("svg", { role: "img", "aria-label": said, width: WIDTH, height: HEIGHT, className: "spark" }, parts);
  };

  /* A digit for each night: tenths recorded; blank before the person's first night. */
  cells.CoverageBars = function (props) {
    const text = (props.value || "").trim(), first = (props.value || "").length - text.length;
    if (!text) return make("span", { className: "quiet" }, "–");
    const step = BAR_WIDTH / props.value.length;
    let sum = 0, missing = "", covered = "";
    const bar = function (at, top, height) {
      return "M" + (at * step).toFixed(2) + " " + top.toFixed(2) + "h" + (step - 0.7).toFixed(2) +
        "v" + height.toFixed(2) + "h-" + (step - 0.7).toFixed(2) + "z";
    };
    for (let at = first; at < props.value.length; at++) {
      const share = Number(props.value[at]) / 9, top = (1 - share) * BAR_HEIGHT;
      sum += share;
      if (share < 1) missing += bar(at, 0, top);
      if (share > 0) covered += bar(at, top, share * BAR_HEIGHT);
    }
    const parts = [];
    if (missing) parts.push(path("bar-missing", missing));
    if (covered) parts.push(path("bar-covered", covered));
    const said = Math.round((100 * sum) / text.length) + " % of " + text.length + " nights recorded";
    return make("svg", { role: "img", "aria-label": said, width: BAR_WIDTH, height: BAR_HEIGHT, className: "spark" }, parts);
  };
})();
