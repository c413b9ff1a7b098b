// What the browser does by itself: links and intervals in the grid, and the grid that follows the address.
(function () {
  "use strict";

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  const h = function () { return window.React.createElement.apply(null, arguments); };
  const subscripts = "₀₁₂₃₄₅₆₇₈₉";

  function formula(text, uid) {
    const plane = uid.indexOf("(") < 0 ? "" : uid.slice(uid.indexOf("("));
    return text.replace(/[0-9]/g, (digit) => subscripts[Number(digit)]) + plane;
  }

  // Phases of one formula differ in their uid alone: its first digits tell 2H from 1T in a list.
  function phase(uid) {
    const found = /-([0-9a-f]{8})/.exec(uid);
    return found ? h("span", { className: "phase" }, " " + found[1].slice(0, 4)) : null;
  }

  function digits(value, count) {
    // A minus sign in front of a zero says nothing.
    const shown = value.toFixed(count);
    return Number(shown) === 0 ? (0).toFixed(count) : shown.replace("-", "−");
  }

  functions.stackscreenNumber = function (value, count, factor) {
    return value === null || value === undefined ? "" : digits(value * factor, count);
  };

  functions.stackscreenTheme = function (theme) {
    return theme.themeQuartz.withParams({
      fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
      fontSize: 13, headerFontSize: 12, spacing: 5, accentColor: "#3b6ea8", borderColor: "#e2e6eb",
      headerBackgroundColor: "#f6f7f9", wrapperBorderRadius: 6, rowHoverColor: "#f1f5fa",
    });
  };

  cells.PairLink = function (props) {
    if (!props.data) { return h("span", { className: "loading" }, "…"); }
    const row = props.data;
    const names = [formula(row.bottom_formula, row.bottom_uid), phase(row.bottom_uid),
      " / ", formula(row.top_formula, row.top_uid), phase(row.top_uid)];
    if (row.is_candidate === false) {
      const why = row.bottom_uid + " / " + row.top_uid + ": not a candidate, so it has no page of its own";
      return h("span", { title: why, className: "pair-name" }, ...names);
    }
    const href = "/pair/" + encodeURIComponent(row.bottom_uid) + "/" + encodeURIComponent(row.top_uid);
    return h("a", { href: href, title: row.bottom_uid + " / " + row.top_uid, className: "pair-link" }, ...names);
  };

  cells.AlignmentBadge = function (props) {
    if (!props.data) { return null; }
    const kind = props.value || "unknown";
    const names = { I: "I", II: "II", III: "III", metal: "metal", unknown: "—" };
    return h("span", { className: "badge badge-" + kind }, names[kind]);
  };

  cells.Interval = function (props) {
    if (!props.data || props.value === null || props.value === undefined) {
      return h("span", { className: "muted" }, props.data ? "—" : "");
    }
    const low = props.data[props.colDef.field + "_lower"];
    const high = props.data[props.colDef.field + "_upper"];
    const known = low !== null && low !== undefined && high !== null && high !== undefined;
    return h("span", null, digits(props.value, props.digits),
      known ? h("span", { className: "interval" },
        " " + digits(low, props.digits) + "–" + digits(high, props.digits)) : null);
  };

  function filterOf(search) {
    const parameters = new URLSearchParams(search || "");
    parameters.delete("sort");
    return parameters.toString();
  }

  // A grid that is not there yet needs nothing: it will be made for the address.
  function gridApi() {
    try {
      return window.dash_ag_grid.getApi("candidates");
    } catch (notYet) {
      return null;
    }
  }

  let shown = filterOf(window.location.search);
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    stackscreen: {
      follow: function (search) {
        const grid = gridApi();
        const wanted = filterOf(search);
        if (grid && wanted !== shown) {
          grid.ensureIndexVisible(0);
          grid.purgeInfiniteCache();
        }
        shown = wanted;
        const sort = new URLSearchParams(search || "").get("sort") || "-score";
        const column = sort.replace("-", "");
        const direction = sort.startsWith("-") ? "desc" : "asc";
        const now = grid && grid.getColumnState().find((one) => one.sort);
        if (now && (now.colId !== column || now.sort !== direction)) {
          grid.applyColumnState({ state: [{ colId: column, sort: direction }], defaultState: { sort: null } });
        }
        return window.dash_clientside.no_update;
      },
      openPair: function (click) {
        const point = click && click.points && click.points[0];
        if (point && point.customdata) { window.location.assign(point.customdata[0]); }
        return window.dash_clientside.no_update;
      },
    },
  });
})();
