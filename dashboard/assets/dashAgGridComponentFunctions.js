/* Cells of the list of patients. Gaps stay gaps; every drawing says in words what it shows. */
(function () {
  "use strict";

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const make = function () {
    return window.React.createElement.apply(null, arguments);
  };
  const WIDTH = 164, HEIGHT = 30, EDGE = 4;
  const BAR_WIDTH = 138, BAR_HEIGHT = 22;

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

  cells.Day = function (props) {
    if (!props.value) return "–";
    const day = new Date(props.value + "T00:00:00Z");
    return day.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  };

  cells.Plain = function (props) {
    return props.value;
  };

  cells.HeartRate = function (props) {
    if (props.value === null || props.value === undefined) return make("span", { className: "quiet" }, "–");
    return make("span", { className: "live-cell" },
      make("span", { className: "shape-live", "aria-hidden": true }, "●"), " ",
      make("b", null, Math.round(props.value)), make("span", { className: "unit" }, " beats/min"));
  };

  function isNumber(value) {
    return typeof value === "number";
  }

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

  function scaleOf(series) {
    const all = series.value.concat(series.low, series.high).filter(isNumber);
    const low = Math.min.apply(null, all), span = Math.max.apply(null, all) - low || 1;
    const step = (WIDTH - 2 * EDGE) / Math.max(1, series.value.length - 1);
    return {
      x: function (at) { return EDGE + at * step; },
      y: function (value) { return HEIGHT - EDGE - ((value - low) / span) * (HEIGHT - 2 * EDGE); },
      half: step / 2,
    };
  }

  function bandPath(series, scale, run) {
    const upper = [], lower = [];
    const add = function (x, at) {
      upper.push(x.toFixed(1) + " " + scale.y(series.high[at]).toFixed(1));
      lower.unshift(x.toFixed(1) + " " + scale.y(series.low[at]).toFixed(1));
    };
    add(Math.max(0, scale.x(run[0]) - scale.half), run[0]);
    for (let at = run[0]; at < run[1]; at++) add(scale.x(at), at);
    add(Math.min(WIDTH, scale.x(run[1] - 1) + scale.half), run[1] - 1);
    return "M" + upper.concat(lower).join("L") + "Z";
  }

  function linePath(series, scale, run) {
    const points = [];
    for (let at = run[0]; at < run[1]; at++) {
      points.push(scale.x(at).toFixed(1) + " " + scale.y(series.value[at]).toFixed(1));
    }
    return "M" + points.join("L");
  }

  function isOutside(series, at) {
    const value = series.value[at];
    return isNumber(value) && isNumber(series.low[at]) && (value < series.low[at] || value > series.high[at]);
  }

  function dot(series, scale, at) {
    return make("circle", { key: "d" + at, className: "spark-dot", cx: scale.x(at), cy: scale.y(series.value[at]), r: 1.8 });
  }

  function diamond(series, scale, at) {
    const x = scale.x(at).toFixed(1), y = (scale.y(series.value[at]) - 3.4).toFixed(1);
    return make("path", { key: "o" + at, className: "spark-outside", d: "M" + x + " " + y + "l3.4 3.4-3.4 3.4-3.4-3.4z" });
  }

  function sparkWords(series) {
    const length = series.value.length;
    const missing = series.value.filter(function (value) { return !isNumber(value); }).length;
    let outside = 0;
    for (let at = 0; at < length; at++) outside += isOutside(series, at) ? 1 : 0;
    return length + " nights: " + outside + " outside own band, " + missing + " without a value";
  }

  cells.Sparkline = function (props) {
    const series = props.value;
    if (!series || !series.value.some(isNumber)) return make("span", { className: "quiet" }, "no night yet");
    const scale = scaleOf(series), length = series.value.length, parts = [];
    runs(function (at) { return isNumber(series.low[at]); }, length).forEach(function (run) {
      parts.push(make("path", { key: "b" + run[0], className: "spark-band", d: bandPath(series, scale, run) }));
    });
    runs(function (at) { return isNumber(series.value[at]); }, length).forEach(function (run) {
      if (run[1] - run[0] > 1) {
        parts.push(make("path", { key: "l" + run[0], className: "spark-line", d: linePath(series, scale, run) }));
      } else {
        parts.push(dot(series, scale, run[0]));
      }
    });
    for (let at = 0; at < length; at++) if (isOutside(series, at)) parts.push(diamond(series, scale, at));
    return make("svg", { role: "img", "aria-label": sparkWords(series), width: WIDTH, height: HEIGHT, className: "spark" }, parts);
  };

  /* null: before the person's first night; 0: a night of which nothing arrived. */
  cells.CoverageBars = function (props) {
    const coverage = props.value, nights = coverage.filter(isNumber);
    if (!nights.length) return make("span", { className: "quiet" }, "no night yet");
    const step = BAR_WIDTH / coverage.length, parts = [];
    const bar = function (name, at, y, height) {
      parts.push(make("rect", {
        key: name + at, className: "bar-" + name, x: at * step, y: y, width: step - 1, height: height,
      }));
    };
    coverage.forEach(function (frac, at) {
      if (!isNumber(frac)) return;
      bar("missing", at, 0, (1 - frac) * BAR_HEIGHT);
      bar("covered", at, (1 - frac) * BAR_HEIGHT, frac * BAR_HEIGHT);
    });
    const mean = nights.reduce(function (sum, frac) { return sum + frac; }, 0) / nights.length;
    const said = Math.round(100 * mean) + " % of " + nights.length + " nights recorded";
    return make("svg", { role: "img", "aria-label": said, width: BAR_WIDTH, height: BAR_HEIGHT, className: "spark" }, parts);
  };
})();
