"use strict";

// How things look: numbers as text, colours of the theme, Plotly's layouts.
const Charts = (() => {
  const PALETTE = {
    light: ["#2563a8", "#d07a1f", "#2a8f6d", "#a8518a", "#6b5bb5", "#8a6d1f", "#3d8fa3", "#a34848"],
    dark: ["#6aa9e9", "#f0a75c", "#5cc4a0", "#dd8fc4", "#a89bea", "#d1b45c", "#6fc3d6", "#e08a8a"],
  };
  const MEANING = {
    light: { paid: "#8fb8a0", due: "#2563a8", overdue: "#c2432f", critical: "#b3261e", warning: "#d9952b", info: "#7d8b99" },
    dark: { paid: "#4f7d64", due: "#6aa9e9", overdue: "#f07f6b", critical: "#ff8a80", warning: "#f0b458", info: "#9eaab6" },
  };
  const isDark = () => document.documentElement.dataset.theme === "dark";
  const theme = () => (isDark() ? "dark" : "light");
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const palette = () => PALETTE[theme()];
  const meaning = () => MEANING[theme()];
  const colourOf = (currency) => palette()[Math.max(0, Data.byOrders.indexOf(currency)) % palette().length];
  const isNarrow = () => window.innerWidth < 700;

  // ------------------------------------------------------------------ text

  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const count = (value) => whole.format(value);
  const money = (value, currency) => `${currency} ${Math.abs(value) < 100000 ? cents.format(value) : short.format(value)}`;
  const exact = (value, currency) => `${currency} ${cents.format(value)}`;
  const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

  // Plotly reads a little HTML in its texts; what comes from the data is text.
  const plain = (text) => String(text ?? "").replace(/\s+/g, " ").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cut = (text, most) => {
    const signs = [...String(text ?? "").replace(/\s+/g, " ").trim()];
    return signs.length > most ? `${signs.slice(0, most - 1).join("")}…` : signs.join("");
  };

  function duration(seconds) {
    for (const [unit, size] of [["days", 86400], ["hours", 3600], ["minutes", 60]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.round(seconds)} seconds`;
  }

  // ------------------------------------------------------------------ Plotly

  const config = {
    responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: false, showTips: false,
  };

  const axis = (title, more = {}) => ({
    title: { text: plain(title), standoff: 8, font: { size: 12, color: variable("--quiet") } },
    gridcolor: variable("--line"), linecolor: variable("--strong-line"), zerolinecolor: variable("--strong-line"),
    tickfont: { size: 11, color: variable("--quiet") }, automargin: true, fixedrange: true, ...more,
  });
  const amountAxis = (title, more = {}) => axis(title, { exponentformat: "B", minexponent: 4, rangemode: "tozero", nticks: 6, ...more });
  const timeAxis = (title, more = {}) => axis(title, { type: "date", showgrid: false, hoverformat: "%d %b %Y", ...more });

  // Of periods: the range leaves half a period at both ends, and no tick is finer than a day.
  const DAYS = { day: 1, week: 7, month: 31 };
  const periodAxis = (periods, by, title, more = {}) => timeAxis(title, {
    hoverformat: { day: "%a %d %b %Y", week: "week of %d %b %Y", month: "%B %Y" }[by],
    range: periods.length ? [Data.plusDays(periods[0], -DAYS[by]), Data.plusDays(periods[periods.length - 1], DAYS[by])] : undefined,
    tickformat: by === "month" ? "%b\n%Y" : "%d %b\n%Y", nticks: isNarrow() ? 5 : 9, ...more,
  });

  function layout(more) {
    const text = variable("--text");
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
      font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif', size: 12, color: text },
      margin: { l: 10, r: 12, t: 8, b: 10 }, bargap: 0.25, showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12, color: text }, traceorder: "normal", itemclick: false, itemdoubleclick: false },
      hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--strong-line"), font: { color: text }, align: "left", namelength: -1 },
      ...more,
    };
  }

  // Lines over time, one for each currency; `title` and `time`: what the axes say.
  function lines(found, title, { format, by, time }) {
    const marks = found.periods.length < 40 ? "lines+markers" : "lines";
    const traces = [...found.series].map(([code, values]) => ({
      type: "scatter", mode: marks, name: plain(code), x: found.periods, y: values,
      line: { color: colourOf(code), width: 2 }, marker: { size: 5 },
      text: values.map((value) => plain(format(value, code))), hovertemplate: `%{x}<br>%{text}<extra></extra>`,
    }));
    return { traces, layout: layout({ height: isNarrow() ? 280 : 340, xaxis: periodAxis(found.periods, by, time), yaxis: amountAxis(title) }) };
  }

  // Bars over time, one upon the other: only for what can be added up.
  function stacks(periods, series, title, { by, time, height, xaxis = periodAxis(periods, by, time) }) {
    const traces = series.map(({ name, values, colour, texts }) => ({
      type: "bar", name: plain(name), x: periods, y: values, marker: { color: colour },
      text: texts, textposition: "none", hovertemplate: `%{x}<br>${plain(name)}: %{text}<extra></extra>`,
    }));
    const highest = Math.max(...periods.map((_, at) => series.reduce((sum, { values }) => sum + values[at], 0)));
    const whole = highest <= 6 && series.every(({ values }) => values.every(Number.isInteger)) ? { dtick: 1 } : {};
    return {
      traces,
      layout: layout({ height: height || (isNarrow() ? 280 : 340), barmode: "stack", xaxis, yaxis: amountAxis(title, whole) }),
    };
  }

  // Horizontal bars: `entries`, each a `what`, from the top, `series` side by side (`stacked`: one after the other).
  function bars(entries, series, title, { what, stacked = false }) {
    const places = entries.map((_, at) => entries.length - 1 - at);
    const perEntry = stacked ? 1 : series.length;
    const most = isNarrow() ? 16 : 26;
    const traces = series.map(({ name, values, colour, texts }) => ({
      type: "bar", orientation: "h", name: plain(name), x: values, y: places, marker: { color: colour },
      text: texts, textposition: "none", customdata: entries.map(plain),
      hovertemplate: `%{customdata}<br>${plain(name)}: %{text}<extra></extra>`,
    }));
    const ticks = { tickmode: "array", tickvals: places, ticktext: entries.map((entry) => plain(cut(entry, most))), showgrid: false, zeroline: false, range: [-0.6, entries.length - 0.4] };
    return {
      traces: stacked ? traces : traces.reverse(), // Plotly draws groups from the bottom
      layout: layout({
        height: 90 + entries.length * (perEntry * 11 + 12), barmode: stacked ? "stack" : "group",
        legend: { ...layout({}).legend, traceorder: stacked ? "normal" : "reversed" },
        xaxis: amountAxis(title), yaxis: axis(what, ticks), bargap: 0.3,
      }),
    };
  }

  return {
    theme, variable, palette, meaning, colourOf, isNarrow, count, money, exact, plural, plain, cut, duration,
    config, axis, amountAxis, timeAxis, periodAxis, layout, lines, stacks, bars,
  };
})();
