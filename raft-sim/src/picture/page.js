// Keys, buttons, the address, and what is chosen: everything that changes what is to be seen. Whatever changes, `show` draws it.

const DARK = matchMedia("(prefers-color-scheme: dark)");
const view = { step: 0, chosen: 0, theme: null, playing: null };
const byId = (id) => document.getElementById(id);
const run = new Run(JSON.parse(byId("facts").textContent));
const layout = new Layout(run);
const chart = new Chart(byId("chart"), run, layout);
const overview = new Overview(byId("overview"), chart);
const panel = new Panel(run, layout, chart);
let asked = false;

// Draws once before the next frame, however often it is asked for.
function show() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const drawn = chart.draw(view.step, view.chosen);
    overview.draw(view.step);
    document.body.dataset.drawn = drawn;
    document.body.dataset.frames = Number(document.body.dataset.frames ?? 0) + 1;
  });
}

// Goes to a step, as near as there is one, and says what is there.
function goTo(step, reveal = true) {
  view.step = Math.max(0, Math.min(run.length, Math.round(step)));
  if (reveal) layout.reveal(view.step);
  byId("step").value = view.step;
  byId("axis").textContent = layout.byTime ? "by time" : "by action";
  document.body.dataset.step = view.step;
  panel.draw(view.step);
  writeAddress();
  show();
}

function measure() {
  const stage = byId("stage");
  stage.style.maxHeight = "";
  layout.resize(stage.clientWidth, stage.clientHeight);
  stage.style.maxHeight = `${layout.most}px`;
  overview.resize(byId("overview").parentElement.clientWidth);
  panel.draw(view.step);
  show();
}

// The address says where one is, and is followed when it changes.
function writeAddress() {
  const parts = [`step=${view.step}`];
  if (view.theme) parts.push(`theme=${view.theme}`);
  if (layout.byTime) parts.push("axis=time");
  if (layout.hidden.size) parts.push(`servers=${layout.shown().join(",")}`);
  const hidden = [...chart.hiddenKinds].map((kind) => kind.replaceAll(" ", "-"));
  if (hidden.length) parts.push(`without=${hidden.join(",")}`);
  const address = `#${parts.join("&")}`;
  if (location.hash !== address) history.replaceState(null, "", address);
}

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  if (["light", "dark"].includes(said.get("theme"))) setTheme(said.get("theme"));
  layout.setByTime(said.get("axis") === "time");
  if (said.has("servers")) {
    const servers = said.get("servers").split(",").map(Number);
    layout.hidden = new Set(run.servers.filter((server) => !servers.includes(server)));
  }
  if (said.has("without")) {
    const kinds = said.get("without").split(",");
    chart.hiddenKinds = new Set(run.kinds.filter((kind) => kinds.includes(kind.replaceAll(" ", "-"))));
  }
  checkBoxes();
  return said.has("step") ? Number(said.get("step")) || 0 : null;
}

// Light or dark as was chosen; as the system is while nobody has.
function setTheme(theme) {
  view.theme = theme;
  document.documentElement.dataset.theme = theme ?? (DARK.matches ? "dark" : "light");
  chart.readPalette();
  overview.stale = true;
}

function otherTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  goTo(view.step, false);
}

function otherAxis() {
  if (!run.times) return;
  layout.setByTime(!layout.byTime);
  goTo(view.step);
}

function play(on = view.playing === null) {
  clearInterval(view.playing);
  view.playing = null;
  if (on) {
    if (view.step === run.length) goTo(0);
    view.playing = setInterval(() => (view.step < run.length ? goTo(view.step + 1) : play(false)), 180);
  }
  byId("play").textContent = on ? "stop" : "play";
  byId("play").setAttribute("aria-pressed", String(on));
}

// The next action at the chosen server, or the one before.
function goAlong(forth) {
  const moments = run.byServer.get(view.chosen) ?? [...Array(run.length).keys()].map((nth) => nth + 1);
  const nth = lastUpTo(moments, forth ? view.step : view.step - 1);
  const moment = moments[forth ? nth + 1 : nth];
  if (moment !== undefined) goTo(moment);
}

function choose(server) {
  view.chosen = server === view.chosen ? 0 : server;
  document.body.dataset.chosen = view.chosen;
  show();
}

function screenful() {
  const [from, to] = layout.visible();
  return Math.max(1, to - from - 4);
}

const KEYS = {
  ArrowLeft: (event) => goTo(view.step - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => goTo(view.step + (event.shiftKey ? 10 : 1)),
  PageUp: () => goTo(view.step - screenful()),
  PageDown: () => goTo(view.step + screenful()),
  Home: () => goTo(0),
  End: () => goTo(run.length),
  v: () => run.broken && goTo(run.broken.moment),
  n: () => goAlong(true),
  p: () => goAlong(false),
  g: () => byId("step").select(),
  t: otherTheme,
  a: otherAxis,
  "?": () => byId("help").showModal(),
  "+": () => zoom(1.4),
  "=": () => zoom(1.4),
  "-": () => zoom(1 / 1.4),
  0: fitAll,
  " ": () => play(),
};

function zoom(factor) {
  layout.zoom(factor, layout.x(view.step));
  show();
}

function fitAll() {
  layout.fitAll();
  if (layout.left > 0 || VISIBLE_MAX < run.length) layout.reveal(view.step);
  show();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target instanceof HTMLInputElement && event.target.type !== "checkbox") return;
  if (event.key === " " && event.target instanceof HTMLButtonElement) return;
  if (event.key === " " && event.target instanceof HTMLInputElement) return;
  const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
  if (digit && run.servers.includes(digit)) return choose(digit);
  const does = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!does) return;
  event.preventDefault();
  does(event);
}

// Boxes for servers and kinds of packets, each of which can be left out.
function makeBoxes() {
  const box = (group, text, swatch, toggle) => {
    const input = element("input", { type: "checkbox", checked: true });
    input.addEventListener("change", () => {
      toggle(input.checked);
      measure();
      goTo(view.step, false);
    });
    const label = element("label", {}, input, ...(swatch ? [swatch] : []), text);
    byId(group).append(label);
    return input;
  };
  const flip = (set, value) => (shown) => (shown ? set().delete(value) : set().add(value));
  view.servers = new Map(run.servers.map((server) => [server, box("servers", `${server}`, null, flip(() => layout.hidden, server))]));
  view.kinds = new Map(run.kinds.map((kind) => {
    const swatch = element("i", { class: `swatch ${KIND_COLOURS[kind] ?? "heartbeat"}`, "aria-hidden": "true" });
    return [kind, box("kinds", kind, swatch, flip(() => chart.hiddenKinds, kind))];
  }));
  byId("kinds").hidden = run.kinds.length === 0;
}

function checkBoxes() {
  for (const [server, box] of view.servers) box.checked = !layout.hidden.has(server);
  for (const [kind, box] of view.kinds) box.checked = !chart.hiddenKinds.has(kind);
}

function writeHead() {
  const { title, notes, whole } = run.facts;
  document.title = `${title} – raft-sim`;
  byId("title").textContent = title;
  const about = [`${run.facts.servers} server${run.facts.servers === 1 ? "" : "s"}`, `${run.length} actions`];
  if (!whole) about.push("stopped before its end");
  byId("notes").textContent = `${about.join(", ")}${notes.length ? ` · ${notes[0]}` : ""}`;
  byId("notes").title = notes.join("\n");
  byId("steps").textContent = run.length;
  byId("axis").hidden = !run.times;
  if (!run.broken) return;
  byId("verdict").hidden = false;
  byId("oracle").textContent = run.broken.oracle;
  byId("seen").textContent = short(run.broken.seen);
  byId("seen").title = run.broken.seen;
  byId("rule").textContent = `The rule: ${run.broken.rule}`;
  byId("there").textContent = `step ${run.broken.moment}`;
}

function writeLegend() {
  const signs = [
    ["F P C L", "follower, pre-candidate, candidate, leader; H has halted, ✕ is down; the line below a band has the colour of the term"],
    ["● ▮ ◆ ▶", "a step of the node; its clock; the disk syncs; the state machine has applied"],
    ["▼ ▲ ■ ○", "a client asks; an operator asks; snapshots and reads of the log; a start"],
    ["✕", "in a lane: a crash, or a disk that fails; at the end of an arrow: the packet is lost"],
    ["┃", "red: where a rule broke; dark: the step that one is at"],
    ["▤", "striped lanes: cut off from most others; stripes below a lane: its disk stands still; in it: nothing happens there"],
  ];
  byId("legend").append(...signs.map(([sign, text]) => element("li", {}, element("b", {}, sign), text)));
}

// The mouse: what is pointed at is said, a click goes there, dragging moves, the wheel with Ctrl zooms.
function listen() {
  const tip = byId("tip");
  let drag = null;
  byId("chart").addEventListener("pointermove", (event) => {
    if (drag) {
      if (Math.abs(event.clientX - drag.at) > 3) drag.moved = true;
      if (drag.moved) {
        layout.left = drag.left - (event.clientX - drag.at) / layout.scale;
        layout.limit();
        show();
      }
      return;
    }
    const found = chart.find(event.offsetX, event.offsetY);
    byId("chart").style.cursor = found ? "pointer" : "default";
    tip.hidden = !found;
    if (!found) return;
    tip.replaceChildren(...found.lines.map((line) => element("p", {}, line)));
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  });
  byId("chart").addEventListener("pointerleave", () => { tip.hidden = true; });
  byId("chart").addEventListener("pointerdown", (event) => {
    drag = { at: event.clientX, left: layout.left, moved: false };
    byId("chart").setPointerCapture?.(event.pointerId);
  });
  byId("chart").addEventListener("pointerup", (event) => {
    const moved = drag?.moved;
    drag = null;
    if (moved) return;
    const lane = [...layout.lanes].find(([, y]) => Math.abs(y - event.offsetY) < layout.room / 2);
    if (event.offsetX < GUTTER) return void (lane && choose(lane[0]));
    goTo(chart.find(event.offsetX, event.offsetY)?.moment ?? layout.momentAt(event.offsetX), false);
  });
  byId("chart").addEventListener("wheel", (event) => {
    if (event.ctrlKey) layout.zoom(Math.exp(-event.deltaY / 300), event.offsetX);
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) layout.pan(event.deltaX || event.deltaY);
    else return;
    event.preventDefault();
    show();
  }, { passive: false });
  const slide = (event) => event.buttons & 1 && goTo(overview.momentAt(event.offsetX));
  byId("overview").addEventListener("pointerdown", slide);
  byId("overview").addEventListener("pointermove", slide);
  for (const [id, does] of [["first", KEYS.Home], ["last", KEYS.End], ["back", () => goTo(view.step - 1)], ["forth", () => goTo(view.step + 1)],
    ["play", () => play()], ["in", () => zoom(1.4)], ["out", () => zoom(1 / 1.4)], ["fit", fitAll], ["axis", otherAxis], ["theme", otherTheme],
    ["ask", KEYS["?"]], ["there", KEYS.v]]) byId(id).addEventListener("click", does);
  byId("step").addEventListener("change", () => goTo(Number(byId("step").value) || 0));
  byId("step").addEventListener("keydown", (event) => event.key === "Enter" && (byId("step").blur(), byId("chart").focus()));
  addEventListener("keydown", onKey);
  addEventListener("resize", measure);
  addEventListener("hashchange", () => { const step = readAddress(); measure(); goTo(step ?? view.step); });
  DARK.addEventListener("change", () => { setTheme(view.theme); show(); });
}

writeHead();
writeLegend();
makeBoxes();
listen();
setTheme(null);
const linked = readAddress();
measure();
layout.fitFirst();
goTo(linked ?? run.broken?.moment ?? 0);
