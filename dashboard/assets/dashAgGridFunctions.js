/* Functions that the list of patients names in its options. */
(function () {
  "use strict";

  const named = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  named.byOrder = function (valueA, valueB, nodeA, nodeB) {
    return nodeA.data.order - nodeB.data.order;
  };

  named.byAge = function (valueA, valueB, nodeA, nodeB) {
    return (nodeA.data.last_ms || 0) - (nodeB.data.last_ms || 0);
  };

  named.plainText = function (params) {
    return params.value || "–";
  };

  named.daysText = function (params) {
    return params.value === null || params.value === undefined ? "–" : params.value + " d";
  };

  named.unsearched = function () {
    return "";
  };

  named.patientText = function (params) {
    const row = params.data;
    return [row.subject_id, row.name, row.is_simulated ? "simulated" : ""].join(" ");
  };

  named.openPatient = function (params) {
    const event = params.event;
    const isKey = event && event.type === "keydown";
    if (!params.data || (isKey && event.key !== "Enter")) return;
    if (!isKey && event && event.target.closest("a")) return;
    window.location.assign(params.data.href);
  };
})();
