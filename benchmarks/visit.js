/* Put into every page before its own code: when it can be used, and how long a zoom takes. */
window.__lastTask = 0;
new PerformanceObserver(function (list) {
  list.getEntries().forEach(function (task) {
    window.__lastTask = Math.max(window.__lastTask, task.startTime + task.duration);
  });
}).observe({ type: "longtask", buffered: true });

/* Resolve with the ms since navigation at which all was painted and the main thread then stayed free. */
window.__untilUsable = function (isPainted, quietMs, patienceMs) {
  return new Promise(function (done, failed) {
    const begun = performance.now();
    let painted = 0;
    const look = setInterval(function () {
      const now = performance.now();
      if (!painted && isPainted()) painted = now;
      const ready = Math.max(painted, window.__lastTask);
      if (painted && now - ready > quietMs) {
        clearInterval(look);
        done(ready);
      } else if (now - begun > patienceMs) {
        clearInterval(look);
        failed(new Error("never painted"));
      }
    }, 10);
  });
};

/* Zoom into one day and resolve with the ms until its samples were drawn. */
window.__zoomed = function (daysAgo) {
  return new Promise(function (done, failed) {
    setTimeout(failed, 20000, new Error("the samples were never drawn"));
    const plot = document.querySelector("#zoom-chart .js-plotly-plot"), was = plot.data[1].x;
    const end = +new Date(plot._fullLayout.xaxis.maxallowed), day = 86400000;
    const started = performance.now();
    plot.on("plotly_afterplot", function seen() {
      if (plot.data[1].x === was) return;
      plot.removeListener("plotly_afterplot", seen);
      done(performance.now() - started);
    });
    const begin = end - (daysAgo + 3) * day;
    window.Plotly.relayout(plot, { "xaxis.range[0]": begin, "xaxis.range[1]": begin + day });
  });
};
