"use strict";

// The page: theme, filter, sections. Whatever is chosen acts on all filtered sections at once.
(() => {
  const { element, paragraph } = Parts;
  const SECTIONS = [
    { id: "overview", name: "Overview", filtered: true, draw: Business.overview },
    { id: "sales", name: "Sales", filtered: true, draw: Business.sales },
    { id: "payments", name: "Payments", filtered: true, draw: Business.payments },
    { id: "purchases", name: "Purchases", filtered: true, draw: Business.purchases },
    { id: "order", name: "One order's history", filtered: false, draw: Order.orderHistory },
    { id: "pipeline", name: "Pipeline", filtered: false, draw: Pipeline.pipelineSection },
  ];
  const find = (id) => document.getElementById(id);
  const main = find("main");
  const drawn = [];

  // ------------------------------------------------------------------ theme

  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = { // a file has a storage of its own in some browsers, and none in others
    get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* then it holds until the page is closed */ } },
  };
  let chosenTheme = kept.get();

  function applyTheme() {
    const theme = chosenTheme || (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    find("theme").textContent = theme === "dark" ? "☀ Light" : "☾ Dark";
  }

  applyTheme();
  find("theme").addEventListener("click", () => {
    chosenTheme = Charts.theme() === "dark" ? "light" : "dark";
    kept.set(chosenTheme);
    applyTheme();
    draw(() => true);
  });
  system.addEventListener("change", () => { applyTheme(); draw(() => true); });

  // ------------------------------------------------------------------ filter

  const MOST_AT_FIRST = 6;
  const filter = {
    from: Data.first || "", to: Data.last || "", by: Data.byAtFirst, measure: "amount", currencies: new Set(Data.busiest(MOST_AT_FIRST)),
    choose(change) {
      Object.assign(filter, change);
      describe();
      draw((section) => section.filtered);
    },
  };

  function setUpFilter() {
    find("by").append(...Data.offered.map((by) => element("option", { value: by, selected: by === Data.byAtFirst }, `by ${by}`)));
    find("currencies").append(...Data.used.map((code) => {
      const box = element("input", { type: "checkbox", value: code, checked: filter.currencies.has(code) });
      return element("label", { class: "chip" }, box, element("span", {}, code));
    }));
    for (const [id, side] of [["from", "from"], ["to", "to"]]) {
      find(id).value = filter[side];
      Object.assign(find(id), { min: Data.first, max: Data.last, defaultValue: filter[side] });
      find(id).addEventListener("change", () => { find("range").value = "own"; filter.choose({ [side]: find(id).value }); });
    }
    find("range").addEventListener("change", () => {
      const days = Number(find("range").value);
      const until = Data.last < Data.all.today ? Data.last : Data.all.today; // what is due later stays in
      range(days ? Data.plusDays(until, 1 - days) : Data.first, Data.last);
    });
    find("by").addEventListener("change", () => filter.choose({ by: find("by").value }));
    find("currencies").addEventListener("change", () => {
      const boxes = [...find("currencies").querySelectorAll("input")];
      filter.choose({ currencies: new Set(boxes.filter((box) => box.checked).map((box) => box.value)) });
    });
    find("form").addEventListener("submit", (event) => event.preventDefault());
    find("form").addEventListener("reset", () => setTimeout(() => {
      filter.choose({ currencies: new Set(Data.busiest(MOST_AT_FIRST)), by: Data.byAtFirst, from: Data.first, to: Data.last });
    }));
  }

  function range(from, to) {
    find("from").value = from;
    find("to").value = to;
    const days = (new Date(to) - new Date(from)) / 86400000;
    const by = Data.offered.find((one) => ({ day: 100, week: 400, month: Infinity })[one] >= days) || Data.byAtFirst;
    find("by").value = by;
    filter.choose({ from, to, by });
  }

  function describe() {
    const widened = Data.all.period === "day" ? "" : `, whole ${Data.all.period}s`;
    find("chosen").textContent = `${filter.from} – ${filter.to}${widened} · ${[...filter.currencies].join(", ") || "no currency"}`;
    for (const chip of document.querySelectorAll(".chip")) chip.style.setProperty("--chip", Charts.colourOf(chip.firstChild.value));
  }

  // ------------------------------------------------------------------ sections

  const isEmpty = !Data.extent.length;

  function draw(wanted) {
    const stayed = window.scrollY;
    describe();
    for (const section of drawn.filter((one) => wanted(one.section))) {
      for (const chart of section.body.querySelectorAll(".chart")) Plotly.purge(chart);
      section.body.replaceChildren(...section.section.draw(filter).filter(Boolean));
      for (const card of section.body.querySelectorAll(".card")) card.draw?.();
    }
    window.scrollTo({ top: stayed, behavior: "instant" });
  }

  function build() {
    const sections = SECTIONS.filter((section) => !isEmpty || section.id === "pipeline");
    if (isEmpty) {
      main.append(element("div", { class: "empty nothing" }, element("h2", {}, "Nothing has arrived here yet"),
        paragraph("", `The ${Data.all.read_from} holds no orders and no payments. Run the workflow, then make this report again:`),
        element("code", {}, "etl.py run")));
    }
    for (const section of sections) {
      const body = element("div");
      const heading = element("h2", {}, section.name);
      if (!section.filtered) heading.append(element("small", { class: "quiet" }, " · the filters do not act here"));
      main.append(element("section", { id: section.id, "aria-label": section.name }, section.id === "overview" ? "" : heading, body));
      find("nav").append(element("a", { href: `#${section.id}` }, section.name));
      drawn.push({ section, body });
    }
    const links = new Map([...find("nav").children].map((link) => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) links.get(target.id)?.setAttribute("aria-current", isIntersecting);
    }, { rootMargin: "-30% 0px -65% 0px" });
    for (const section of main.querySelectorAll("section")) watcher.observe(section);
  }

  function tellWhereFrom() {
    const { published, lake } = Data.all.pipeline || {};
    const asOf = published ? `Data as of ${published.as_of.slice(0, 16).replace("T", " ")} UTC (batch ${published.batch_id}) · ` : "";
    find("as-of").textContent = `${asOf}read from the ${Data.all.read_from}, ${Data.all.made_at.slice(0, 16).replace("T", " ")} UTC`;
    const grain = Data.all.period === "day" ? "" : ` There is so much that this file holds ${Data.all.period}s: dates count as the ${Data.all.period} that they are in.`;
    find("footer").append(
      paragraph("", `Amounts of different currencies are never added up; there are no exchange rates here. Of countries, designs, staff and counterparties the first ${Data.all.members} of each currency are named, all others stand together.${grain}`),
      paragraph("", lake ? `Lake: ${lake}. ` : "", "This page loads nothing and sends nothing: it may be kept, or sent as it is."));
  }

  if (isEmpty) find("filters").hidden = true;
  else setUpFilter();
  const wide = window.matchMedia("(min-width: 44.01rem)");
  const unfold = () => { find("filters").open = wide.matches; };
  wide.addEventListener("change", () => { unfold(); draw(() => true); });
  unfold();
  tellWhereFrom();
  build();
  draw(() => true);
})();
