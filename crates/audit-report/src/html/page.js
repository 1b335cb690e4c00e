"use strict";
// Sorts and filters the table of findings. Without scripts the page shows all of them, the worst first.
// The fragment of the URL holds the state, so that a view can be bookmarked.
(() => {
  const table = document.getElementById("all");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent.toLowerCase());
  const rows = [...body.rows].map((row, index) => ({
    row,
    index,
    keys: [...row.cells].map((cell) => cell.dataset.key ?? cell.textContent),
    text: row.textContent.toLowerCase(),
  }));
  const order = new Intl.Collator("en", { numeric: true }).compare;
  const state = { sort: "", descending: false, severity: "", text: "" };

  const tools = document.createElement("div");
  tools.className = "tools";
  const add = (kind, label, properties) => {
    const wrap = tools.appendChild(document.createElement("label"));
    wrap.append(label + " ");
    return wrap.appendChild(Object.assign(document.createElement(kind), properties));
  };
  const option = (select, value, label) =>
    select.add(Object.assign(document.createElement("option"), { value, textContent: label }));

  const search = add("input", "Search", { type: "search" });
  const severity = add("select", "Severity", {});
  option(severity, "", "all");
  for (const name of ["critical", "warning", "notice"]) option(severity, name, name);
  const sorting = add("select", "Sort by", {});
  sorting.parentNode.className = "narrow";
  for (const name of names) {
    option(sorting, name, name);
    option(sorting, name + ":descending", name + ", descending");
  }
  const shown = tools.appendChild(document.createElement("output"));
  table.before(tools);

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      state.descending = state.sort === names[column] && !state.descending;
      state.sort = names[column];
      sort();
      keep();
    });
    head.append(button);
  });
  search.addEventListener("input", () => {
    state.text = search.value;
    filter();
    keep();
  });
  severity.addEventListener("change", () => {
    state.severity = severity.value;
    filter();
    keep();
  });
  sorting.addEventListener("change", () => {
    [state.sort, state.descending] = direction(sorting.value);
    sort();
    keep();
  });

  function direction(value) {
    const [name, way] = value.split(":");
    return [names.includes(name) ? name : "", way === "descending"];
  }

  function sort() {
    const column = names.indexOf(state.sort);
    const sign = state.descending ? -1 : 1;
    rows.sort((a, b) => (column < 0 ? 0 : sign * order(a.keys[column], b.keys[column])) || a.index - b.index);
    body.append(...rows.map(({ row }) => row));
    const way = state.descending ? "descending" : "ascending";
    heads.forEach((head, at) => {
      if (at === column) head.setAttribute("aria-sort", way);
      else head.removeAttribute("aria-sort");
    });
    table.dataset.sorted = column < 0 ? "" : state.sort + ":" + way;
    sorting.value = state.sort + (state.descending ? ":descending" : "");
  }

  function filter() {
    const text = state.text.toLowerCase();
    let count = 0;
    for (const { row, text: whole } of rows) {
      const fits = whole.includes(text) && whole.startsWith(state.severity);
      row.hidden = !fits;
      if (fits) count += 1;
    }
    shown.textContent = count + " of " + rows.length;
    table.dataset.shown = count;
  }

  function keep() {
    const address = new URLSearchParams();
    if (state.sort) address.set("sort", state.sort + (state.descending ? ":descending" : ""));
    if (state.severity) address.set("severity", state.severity);
    if (state.text) address.set("text", state.text);
    history.replaceState(null, "", "#" + address);
  }

  const address = new URLSearchParams(location.hash.slice(1));
  [state.sort, state.descending] = direction(address.get("sort") ?? "severity");
  severity.value = state.severity = ["critical", "warning", "notice"].includes(address.get("severity"))
    ? address.get("severity") : "";
  search.value = state.text = address.get("text") ?? "";
  sort();
  filter();
})();
