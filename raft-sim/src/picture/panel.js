// What is at a step, in words, and the logs of all servers below each other, index by index, as figure 7 of the Raft paper has them.

const CELL = 25;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

class Panel {
  constructor(run, layout, chart) {
    this.run = run;
    this.layout = layout;
    this.chart = chart;
    this.now = document.getElementById("now");
    this.moment = document.getElementById("moment");
    this.action = document.getElementById("action");
    this.news = document.getElementById("news");
    this.logs = document.getElementById("logs");
  }

  draw(step) {
    const { run } = this;
    const time = run.times && step ? `, tick ${run.timeText(step)}` : "";
    this.moment.textContent = `step ${step} of ${run.length}${time}`;
    this.action.textContent = run.texts[step];
    this.news.replaceChildren(...this.whatCame(step));
    this.drawLogs(step);
  }

  // What an action has brought about, one line each.
  whatCame(step) {
    const { run } = this;
    const lines = [];
    if (run.broken && run.broken.moment === step) {
      lines.push(["broken", `${run.broken.oracle} is broken${run.broken.atEnd ? ", as the end of the run shows" : " here"}`]);
    }
    const action = run.actions[step];
    const packet = action && action.number ? run.byName.get(`${action.from}>${action.to}#${action.number}`) : null;
    if (packet) lines.push(["packet", `${packet.from} → ${packet.to}: ${packet.text} (sent at step ${packet.sent})`]);
    for (const server of step ? run.changed.get(step) ?? [] : []) lines.push(...this.nodeNews(server, step));
    for (const server of step ? run.servers : []) lines.push(...this.logNews(server, step));
    for (const { server, text } of run.says.get(step) ?? []) lines.push(["says", `server ${server}: ${text}`]);
    for (const { server, text } of run.states.get(step) ?? []) lines.push(["says", `state machine of server ${server}: ${text}`]);
    for (const packet of run.sentAt.get(step) ?? []) lines.push(["packet", `sends ${packet.from} → ${packet.to}: ${packet.text}`]);
    for (const request of run.askedAt.get(step) ?? []) {
      const who = request.client ? `client ${request.client}` : "a client";
      lines.push(["client", `${who} asks server ${request.server}: ${request.text} (request ${request.number})`]);
    }
    for (const request of run.toldAt.get(step) ?? []) lines.push(["client", `request ${request.number} is told: ${request.answer}`]);
    return lines.map(([kind, text]) => element("li", { class: kind }, text));
  }

  nodeNews(server, step) {
    const [now, before] = [this.run.node(server, step), this.run.node(server, step - 1)];
    const news = [];
    if (!before || now.role !== before.role) news.push(`is ${ROLE_NAMES[now.role]}`);
    if (now.role === ROLE.down) return [["node", `server ${server} is down`]];
    if (!before || now.term !== before.term) news.push(`term ${now.term}`);
    if (now.vote && (!before || now.vote !== before.vote)) news.push(`votes for ${now.vote}`);
    if (now.leader && now.leader !== server && (!before || now.leader !== before.leader)) news.push(`follows ${now.leader}`);
    for (const what of ["durable", "commit", "applied"]) {
      if (!before || now[what] !== before[what]) news.push(`${what} ${now[what]}`);
    }
    return news.length ? [["node", `server ${server}: ${news.join(", ")}`]] : [];
  }

  logNews(server, step) {
    const log = this.run.log(server, step);
    if (!log.fresh) return [];
    const news = [];
    if (log.kept < log.before) news.push(`cuts off ${log.kept + 1} to ${log.before}`);
    if (log.kept < log.last) news.push(`has ${log.kept + 1 === log.last ? log.last : `${log.kept + 1} to ${log.last}`}`);
    return news.length ? [["log", `log of server ${server}: ${news.join(", ")}`]] : [];
  }

  // As many entries as there is room for, up to the end of the longest log.
  drawLogs(step) {
    const { run, layout } = this;
    const shown = layout.shown();
    const room = Math.max(6, Math.floor((this.logs.clientWidth - 196) / CELL));
    const logs = shown.map((server) => run.log(server, step));
    const end = logs.reduce((end, log) => Math.max(end, log.last, log.fresh ? log.before : 0), 1);
    const first = Math.max(1, end - room + 1);
    const last = Math.max(end, Math.min(room, 10));
    const heads = element("div", { class: "row heads", "aria-hidden": "true" }, element("span", { class: "who" }),
      element("span", { class: "cells" }));
    for (let index = first; index <= last; index += 1) {
      const label = index % 5 === 0 || (index === first && index % 5 < 4) ? `${index}` : "";
      heads.lastChild.append(element("span", { class: "head" }, label));
    }
    const rows = shown.map((server, nth) => this.logRow(server, step, logs[nth], first, last));
    this.logs.classList.toggle("many", shown.length > 5);
    this.logs.replaceChildren(heads, ...rows, this.marksLegend());
  }

  logRow(server, step, log, first, last) {
    const { run } = this;
    const node = run.node(server, step);
    const down = node.role === ROLE.down;
    const numbers = down ? `${node.durable} on disk` : `term ${node.term} · vote ${node.vote || "–"}`;
    const who = element("span", { class: "who" },
      element("b", { class: `badge ${ROLE_NAMES[node.role]}` }, ROLE_LETTERS[node.role]),
      element("span", { class: "name" }, `server ${server}`), element("span", { class: "numbers" }, numbers));
    const cells = element("span", { class: "cells" });
    const gone = log.fresh ? log.before : log.last;
    for (let index = first; index <= Math.max(log.last, gone) && index <= last; index += 1) cells.append(this.cell(server, step, node, log, index));
    if (log.last < first && log.last > 0) cells.append(element("span", { class: "far" }, `ends at ${log.last}`));
    cells.append(this.marks(node, log, first));
    const state = `${ROLE_NAMES[node.role]}, term ${node.term}, log to ${log.last}, durable to ${node.durable}, committed to ${node.commit}, applied to ${node.applied}`;
    return element("div", { class: `row${down ? " down" : ""}`, "data-server": server, "aria-label": `server ${server}: ${state}` }, who, cells);
  }

  cell(server, step, node, log, index) {
    const term = this.run.termAt(log, index);
    if (term === null) {
      // Cut off in this very step.
      const before = this.run.log(server, step - 1);
      const old = this.run.termAt(before, index);
      return element("span", { class: "cell gone", title: `${index}: cut off, was of term ${old}` }, `${old ?? ""}`);
    }
    if (index <= node.start) return element("span", { class: "cell snapshot", title: `${index}: in a snapshot` });
    const committed = node.role !== ROLE.down && index <= node.commit;
    const fresh = log.fresh && log.kept < index;
    const names = ["cell", committed ? "committed" : "open", fresh ? "fresh" : ""].filter(Boolean).join(" ");
    const parts = [`${index}, term ${term}: ${this.run.content(index, term, server)}`];
    if (index <= node.durable) parts.push("durable");
    if (committed) parts.push("committed");
    if (index <= node.applied) parts.push("applied");
    const cell = element("span", { class: names, title: parts.join("\n") }, `${term}`);
    cell.style.setProperty("--term", this.chart.term(term));
    return cell;
  }

  // Three bars below the cells, each as far as it goes: durable, committed, applied.
  marks(node, log, first) {
    const marks = element("span", { class: "marks", "aria-hidden": "true" });
    for (const [name, index] of [["durable", Math.min(node.durable, log.last)], ["commit", node.commit], ["applied", node.applied]]) {
      const bar = element("i", { class: name });
      bar.style.width = `${Math.max(0, Math.min(index, first + 400) - first + 1) * CELL - (index < first ? 0 : 3)}px`;
      marks.append(bar);
    }
    return marks;
  }

  marksLegend() {
    const item = (name, text) => element("span", {}, element("i", { class: name }), text);
    return element("div", { class: "row legend" }, element("span", { class: "who" }),
      element("span", { class: "marksof" }, item("durable", "durable"), item("commit", "committed"), item("applied", "applied"),
        item("boxopen", "not committed"), item("boxgone", "cut off in this step"), element("span", {}, "the number in a cell is its term")));
  }
}
