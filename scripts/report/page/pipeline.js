"use strict";

// The pipeline: fresh, complete, what is wrong; batches, gates, quarantine, the certificate.
const Pipeline = (() => {
  const { count, plural, duration } = Charts;
  const { element, empty, card, tableCard, tile } = Parts;

  const pipeline = Data.all.pipeline;
  const MOODS = { true: "good", false: "bad", null: "attention" };

  function stateTiles() {
    if (!pipeline) return [];
    const { health, published, certificate, promised_minutes: promised } = pipeline;
    const age = published ? (new Date(Data.all.made_at) - new Date(published.as_of)) / 1000 : null;
    const fresh = { true: "yes", false: "no", null: "not known" }[health.fresh];
    const complete = { true: "yes", false: "no", null: "not compared yet" }[health.complete];
    return [
      tile("Fresh", [fresh], published ? `the source as of ${duration(age)} before this report; ${promised} minutes are promised` : "nothing is published yet", MOODS[health.fresh]),
      tile("Complete", [complete], certificate ? `source = lake = warehouse, verified through ${certificate.verified_through.slice(0, 16)} (${certificate.time_zone})` : "etl.py reconcile compares", MOODS[health.complete]),
    ];
  }

  function pipelineSection() {
    const rows = Data.objects("table_rows");
    if (!pipeline) return [empty("The warehouse alone does not tell of its pipeline: name the lake (--lake)."), rows.length ? element("div", { class: "cards" }, tablesCard(rows)) : null];
    const held = Data.objects("quarantine");
    const { findings } = pipeline.health;
    const batches = pipeline.batches;
    return [
      element("div", { class: "tiles" }, ...stateTiles(),
        tile("Batches", [count(batches.length ? batches[batches.length - 1].batch_id : 0)], batches.length ? `last: ${batches[batches.length - 1].started_at?.slice(0, 16).replace("T", " ") ?? "not extracted"} UTC` : "none yet"),
        tile("Rules that rows in quarantine break", [count(held.length)], held.length ? "see below" : "nothing is in quarantine", held.length ? "attention" : "good")),
      findings.length ? element("ul", { class: "findings" }, findings.map((one) =>
        element("li", { class: one.severity }, one.what, one.do ? [element("br"), element("code", {}, one.do)] : null))) : null,
      element("div", { class: "cards" },
        card("Seconds of each batch, by stage", `From the source's snapshot to the warehouse; ${promised(pipeline)} are promised. The last ${batches.length} batches.`, stageSeconds(batches), { nothing: "No batch was made yet." }),
        card("Rows of each batch", "Read from the source, and of them set aside.", batchRows(batches), { nothing: "No batch was made yet." }),
        card("Expectations that did not hold", "By batch, both gates together. Critical ones reject a batch, warnings set rows aside, the rest is reported.", qualityTrend(), { nothing: qualityWords() }),
        brokenRules(),
        tablesCard(rows), certificateCard(pipeline.certificate),
        tableCard("In quarantine", "By the rule that is broken; a row that breaks two stands in two.", ["table", "rule", { text: "rows", number: true }, { text: "wait for another row", number: true }, "first set aside (UTC)"],
          held.map((row) => [row.table_name, row.rule, count(row.held), count(row.waiting), { text: row.first_found_at.slice(0, 16), name: "time" }]), { wide: false, nothing: "Nothing is in quarantine." }),
        batchTable(batches)),
    ];
  }

  const promised = ({ promised_minutes: minutes }) => `${count(minutes * 60)} seconds`;
  const batchAxis = () => Charts.axis("batch", { type: "category", showgrid: false, nticks: Charts.isNarrow() ? 8 : 15 });

  function stageSeconds(batches) {
    const shown = batches.filter((batch) => Object.keys(batch.seconds).length);
    if (!shown.length) return null;
    const ids = shown.map((batch) => String(batch.batch_id));
    const series = pipeline.stages.map((stage, at) => {
      const values = shown.map((batch) => batch.seconds[stage] || 0);
      return { name: stage, values, colour: Charts.palette()[at], texts: values.map((value) => `${value.toFixed(1)} s`) };
    });
    return {
      ...Charts.stacks(ids, series, "seconds", { xaxis: batchAxis() }),
      rows: {
        headings: [{ text: "batch", number: true }, ...pipeline.stages.map((text) => ({ text, number: true }))],
        rows: shown.map((batch) => [String(batch.batch_id), ...pipeline.stages.map((stage) => (batch.seconds[stage] === undefined ? "" : batch.seconds[stage].toFixed(1)))]),
      },
    };
  }

  function batchRows(batches) {
    if (!batches.length) return null;
    const ids = batches.map((batch) => String(batch.batch_id));
    const went = batches.map((batch) => batch.rows - batch.set_aside);
    const aside = batches.map((batch) => batch.set_aside);
    const series = [
      { name: "went on", values: went, colour: Charts.palette()[0], texts: went.map(count) },
      { name: "set aside", values: aside, colour: Charts.meaning().overdue, texts: aside.map(count) },
    ];
    return Charts.stacks(ids, series, "rows", { xaxis: batchAxis() });
  }

  function qualityTrend() {
    const rows = Data.objects("quality");
    const ids = [...new Set(rows.map((row) => row.batch_id))];
    const of = (id, severity) => rows.filter((row) => row.batch_id === id).reduce((sum, row) => sum + row[severity], 0);
    const series = ["critical", "warning", "info"].map((name) => {
      const values = ids.map((id) => of(id, name));
      return { name, values, colour: Charts.meaning()[name], texts: values.map(count) };
    });
    if (!series.some(({ values }) => values.some(Boolean))) return null;
    return {
      ...Charts.stacks(ids.map(String), series, "expectations", { xaxis: batchAxis() }),
      rows: {
        headings: ["batch", "gate", ...["expectations", "critical", "warning", "info", "broken rows"].map((text) => ({ text, number: true }))],
        rows: rows.map((row) => [String(row.batch_id), row.layer, ...["expectations", "critical", "warning", "info", "broken_rows"].map((name) => count(row[name]))]),
      },
    };
  }

  function qualityWords() {
    const rows = Data.objects("quality");
    const ids = new Set(rows.map((row) => row.batch_id));
    const looked = rows.reduce((sum, row) => sum + row.expectations, 0);
    return rows.length ? `All ${count(looked)} expectations held, in each of the last ${plural(ids.size, "batch", "batches")}.` : "No gate has looked at a batch yet.";
  }

  function brokenRules() {
    const pill = (severity) => element("span", { class: `pill ${{ critical: "bad", warning: "attention" }[severity] || ""}` }, severity);
    return tableCard("Rules that did not hold", "Of the last 40 batches, the latest first.", ["gate", "table", "rule", "", { text: "batches", number: true }, { text: "rows", number: true }, { text: "last in", number: true }],
      Data.objects("broken_rules").map((row) => [row.layer, row.table_name, `${row.subject}: ${row.expectation}`, pill(row.severity), count(row.batches), count(row.broken_rows), String(row.last_batch)]),
      { wide: false, nothing: "Every rule held." });
  }

  function tablesCard(rows) {
    return tableCard("Rows per table", "Of a fact, every version is a row; current are the last versions of what the source still has.",
      ["star table", { text: "current", number: true }, { text: "rows", number: true }],
      rows.map((row) => [row.table_name, count(row.current_rows), count(row.all_rows)]), { wide: false, nothing: "There are no tables yet." });
  }

  function certificateCard(certificate) {
    const verdict = ({ agrees }) => element("span", { class: `pill ${agrees ? "good" : "bad"}` }, agrees ? "equal" : "differs");
    const words = certificate
      ? `Source, lake and warehouse compared key range by key range, verified through ${certificate.verified_through.slice(0, 19)} (${certificate.time_zone}).`
      : "Whether source, lake and warehouse are equal, key range by key range.";
    return tableCard("Certificate of the last reconcile", words, ["source table", { text: "rows", number: true }, "source = lake = warehouse"],
      (certificate?.tables ?? []).map((one) => [one.table, count(one.rows), verdict(one)]), { wide: false, nothing: "They were never compared: etl.py reconcile." });
  }

  function batchTable(batches) {
    const mood = (batch) => (batch.state === "rejected" ? "bad" : batch.state === "load" ? "good" : "attention");
    const sum = (batch) => Object.values(batch.seconds).reduce((all, one) => all + one, 0);
    return tableCard("Batches", "The newest first; a batch is what one extraction read at one moment.", [{ text: "batch", number: true }, "started (UTC)", "state", { text: "rows", number: true }, { text: "set aside", number: true }, { text: "seconds", number: true }],
      [...batches].reverse().map((batch) => [String(batch.batch_id), { text: batch.started_at?.slice(0, 19).replace("T", " ") ?? "", name: "time" },
        element("span", { class: `pill ${mood(batch)}`, title: batch.rejected_because }, batch.state === "load" ? "loaded" : batch.state), count(batch.rows), count(batch.set_aside), sum(batch).toFixed(1)]),
      { nothing: "No batch was made yet." });
  }

  return { stateTiles, pipelineSection };
})();
