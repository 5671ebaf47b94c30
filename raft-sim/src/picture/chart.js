// Draws what is to be seen of a run, and remembers where everything is, for who points at it. Only what is visible is drawn: how much that
// is depends on the window, never on the length of the run.

const FONT = '"Inter", "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif';

// Kinds of packets that look alike.
const KIND_COLOURS = {
  "vote request": "election", vote: "election", "pre-vote request": "election", "pre-vote": "election", "timeout now": "election",
  append: "append", acknowledgement: "acknowledge", rejection: "reject", heartbeat: "heartbeat", commit: "commit",
  snapshot: "snapshot", "read request": "read", "read index": "read", "forwarded proposal": "read", "forwarded answer": "read",
  notice: "heartbeat",
};
const KIND_DASHES = { heartbeat: [1.5, 3], acknowledge: [5, 2.5], commit: [1.5, 3] };

// Below these sizes of an action things are left out that could not be told apart.
const SCALE_SIGNS = 4;
const SCALE_ARROWS = 1.2;
const SCALE_VERBS = 34;

// The colour of signs on a band of each role.
const SIGN_INKS = ["ink", "ink", "pre-ink", "candidate-ink", "leader-ink", "halted-ink"];

class Chart {
  constructor(canvas, run, layout) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.run = run;
    this.layout = layout;
    this.palette = {};
    this.hiddenKinds = new Set();
  }

  // Colours come from the style sheet, so that there is one place for them.
  readPalette() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["paper", "ink", "muted", "faint", "grid", "lane", "follower", "follower-ink", "pre", "pre-ink", "candidate",
      "candidate-ink", "leader", "leader-ink", "down", "halted", "halted-ink", "lost", "broken", "cursor", "cut", "stall", "done",
      "refused", "unknown", "election", "append", "acknowledge", "reject", "heartbeat", "commit", "snapshot", "read"]) {
      this.palette[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.terms = Array.from({ length: 8 }, (_, nth) => style.getPropertyValue(`--term-${nth}`).trim());
  }

  term(term) {
    return this.terms[term === 0 ? 0 : ((term - 1) % 7) + 1];
  }

  // Draws one frame. Says how many things it has drawn.
  draw(step, chosen) {
    const { canvas, context, layout } = this;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(layout.width * ratio) || canvas.height !== Math.round(layout.height * ratio)) {
      canvas.width = Math.round(layout.width * ratio);
      canvas.height = Math.round(layout.height * ratio);
      canvas.style.height = `${layout.height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.palette.paper;
    context.fillRect(0, 0, layout.width, layout.height);
    this.drawn = 0;
    this.hits = [];
    this.labels = [];
    this.crosses = [];
    this.step = step;
    [this.from, this.to] = layout.visible();
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, layout.width - GUTTER, layout.height);
    context.clip();
    this.axis();
    this.network();
    this.lanes();
    this.flights();
    this.spells();
    // A packet may be lost behind the band of a server that it passes.
    for (const cross of this.crosses) this.cross(...cross);
    this.signs();
    this.clients();
    this.breach();
    this.cursor();
    context.restore();
    this.gutter(chosen);
    return this.drawn;
  }

  // With a halo it can be read on top of lines.
  text(text, x, y, { colour = "ink", size = 11, weight = 400, align = "left", base = "middle", halo = false } = {}) {
    const { context } = this;
    context.font = `${weight} ${size}px ${FONT}`;
    context.fillStyle = this.palette[colour] ?? colour;
    context.textAlign = align;
    context.textBaseline = base;
    if (halo) {
      context.strokeStyle = this.palette.paper;
      context.lineWidth = 3.5;
      context.lineJoin = "round";
      context.strokeText(text, x, y);
    }
    context.fillText(text, x, y);
    this.drawn += 1;
  }

  width(text, size = 11, weight = 400) {
    this.context.font = `${weight} ${size}px ${FONT}`;
    return this.context.measureText(text).width;
  }

  line(x1, y1, x2, y2, colour, width = 1, dash = []) {
    const { context } = this;
    context.strokeStyle = this.palette[colour] ?? colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
    context.setLineDash([]);
    this.drawn += 1;
  }

  // Where one may point at, and what is there.
  hit(x1, y1, x2, y2, moment, lines, reach = 5) {
    this.hits.push({ x1, y1, x2, y2, moment, lines, reach });
  }

  // Whether there is room for a label, which then is taken.
  claim(x, y, width, height) {
    const box = { x, y, right: x + width, bottom: y + height };
    const free = this.labels.every((other) =>
      box.right < other.x || other.right < box.x || box.bottom < other.y || other.bottom < box.y);
    if (free) this.labels.push(box);
    return free;
  }

  axis() {
    const { layout, from, to } = this;
    const spacing = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((every) => every * layout.scale >= 58) ?? 10000;
    const bottom = layout.height;
    for (let moment = Math.ceil(from / spacing) * spacing; moment <= to; moment += spacing) {
      const x = Math.round(layout.x(moment)) + 0.5;
      const label = layout.byTime ? `${this.run.timeText(moment)}` : `${moment}`;
      const wide = this.width(label, 10.5);
      if (x - wide / 2 < GUTTER || !this.claim(x - wide / 2 - 5, 0, wide + 10, AXIS - 4)) continue;
      this.line(x, AXIS - 2, x, bottom, "grid");
      this.text(label, x, AXIS / 2 + 1, { colour: "muted", size: 10.5, align: "center" });
    }
    const ending = this.run.facts.ending;
    if (ending && ending[1] !== "nothing") {
      const x = Math.round(layout.x(ending[0])) + 0.5;
      this.line(x, AXIS, x, bottom, "muted", 1, [2, 3]);
      this.text(`faults stop: ${ending[1]}`, x + 5, bottom - 9, { colour: "muted", size: 10.5 });
    }
  }

  network() {
    const { layout, from, to, run } = this;
    if (!layout.network) return;
    const y = layout.network;
    const first = Math.max(0, lastUpTo(run.cutFroms, from));
    for (let nth = first; nth < run.cuts.length && run.cuts[nth].from <= to; nth += 1) {
      const cut = run.cuts[nth];
      if (cut.to < from) continue;
      const [left, right] = [Math.max(layout.x(cut.from), GUTTER), Math.min(layout.x(cut.to), layout.width)];
      this.band(left, y, right - left, 16, "cut", 3);
      const label = run.cutText(cut);
      if (this.width(label, 10.5, 600) + 10 < right - left) {
        this.text(label, (left + right) / 2, y + 8.5, { colour: "ink", size: 10.5, weight: 600, align: "center" });
      }
      this.hit(left, y + 8, right, y + 8, cut.from, [`from step ${cut.from} to ${cut.to}`, run.cutText(cut)], 9);
      // Who is cut off from most others.
      for (const server of cut.groups.slice(1).flat()) {
        const lane = layout.lanes.get(server);
        if (lane !== undefined) this.hatch(left, lane - BAND / 2 - 9, right - left, BAND + 18, "cut");
      }
    }
  }

  band(x, y, width, height, colour, radius = 4) {
    const { context } = this;
    context.fillStyle = this.palette[colour] ?? colour;
    context.beginPath();
    context.roundRect(x, y, Math.max(1, width), height, Math.min(radius, Math.max(0, width / 2)));
    context.fill();
    this.drawn += 1;
  }

  // Stripes, for what is there also without colours.
  hatch(x, y, width, height, colour) {
    const { context } = this;
    const key = `${colour}${this.palette[colour]}`;
    if (this.hatchKey?.[colour] !== key) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const pen = tile.getContext("2d");
      pen.strokeStyle = this.palette[colour];
      pen.lineWidth = 1.6;
      pen.beginPath();
      for (const shift of [-8, 0, 8]) {
        pen.moveTo(shift - 1, 9);
        pen.lineTo(shift + 9, -1);
      }
      pen.stroke();
      this.hatches = { ...this.hatches, [colour]: context.createPattern(tile, "repeat") };
      this.hatchKey = { ...this.hatchKey, [colour]: key };
    }
    context.fillStyle = this.hatches[colour];
    context.beginPath();
    context.roundRect(x, y, Math.max(1, width), height, 3);
    context.fill();
    this.drawn += 1;
  }

  lanes() {
    const { layout, run, from, to } = this;
    for (const [server, y] of layout.lanes) {
      this.line(GUTTER, y, layout.width, y, "grid");
      for (const wait of run.waits) {
        if (wait.kind !== 0 || wait.server !== server || wait.to < from || to < wait.from) continue;
        this.wait(wait, y + BAND / 2 + 5, 8, "disk stands still", "paper");
      }
    }
  }

  // Stripes for as long as nothing goes on somewhere, and what that is, where there is room for it.
  wait(wait, top, height, what, behind) {
    const { layout } = this;
    const [left, right] = [Math.max(layout.x(wait.from), GUTTER), Math.min(layout.x(wait.to), layout.width)];
    this.hatch(left, top, right - left, height, "stall");
    const wide = this.width(what, 9.5) + 12;
    if (wide < right - left) {
      this.band((left + right - wide) / 2, top - 1, wide, height + 2, behind, 2);
      this.text(what, (left + right) / 2, top + height / 2 + 0.5, { size: 9.5, colour: behind === "paper" ? "stall" : "ink", align: "center" });
    }
    const middle = top + height / 2;
    this.hit(left, middle, right, middle, wait.from, [`server ${wait.server}: ${what}`, `from step ${wait.from} to ${wait.to}`], height / 2 + 1);
  }

  // What a server is, as bands with the colour of its role, its letter and its term.
  spells() {
    const { layout, run, from, to } = this;
    const styles = [
      ["lane", "muted"], ["follower", "follower-ink"], ["pre", "pre-ink"], ["candidate", "candidate-ink"], ["leader", "leader-ink"],
      ["halted", "halted-ink"],
    ];
    for (const [server, y] of layout.lanes) {
      for (const spell of run.spellsBetween(server, from, to)) {
        const left = Math.max(layout.x(spell.from), GUTTER - 4);
        const end = spell.to === run.length ? layout.x(run.length) + Math.min(layout.scale * 0.8, 60) : layout.x(spell.to);
        const right = Math.min(end, layout.width + 4);
        const wide = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
        const [fill, ink] = styles[spell.role];
        this.band(left, y - BAND / 2, wide, BAND, fill, 4);
        if (spell.role === ROLE.down) this.hatch(left, y - BAND / 2, wide, BAND, "down");
        else this.band(left, y + BAND / 2 - 3, wide, 3, this.term(spell.term), 1);
        this.spellLabel(spell, left, wide, y, ink);
      }
      for (const wait of run.waits) {
        if (wait.kind !== 1 || wait.server !== server || wait.to < from || to < wait.from) continue;
        const role = run.node(server, wait.from).role;
        this.wait(wait, y - BAND / 2 + 3, BAND - 8, "nothing happens here", role === ROLE.follower ? "follower" : "lane");
      }
    }
  }

  spellLabel(spell, left, wide, y, ink) {
    const down = spell.role === ROLE.down;
    const long = down ? "down" : `${ROLE_NAMES[spell.role]} · term ${spell.term}`;
    const short = down ? "✕" : `${ROLE_LETTERS[spell.role]}${spell.term}`;
    const signs = this.layout.scale >= SCALE_SIGNS;
    const label = [long, short].find((label) => this.width(label, 10.5, 600) + 12 < wide);
    if (!label) return;
    // Signs of actions sit on the middle of the band, so that its text gets a place of its own above them.
    const at = Math.max(left, GUTTER) + 6;
    const above = y - BAND / 2 - 7;
    if (signs && !down) {
      if (this.claim(at, above - 6, this.width(label, 10.5, 600), 12)) {
        this.text(label, at, above, { size: 10.5, weight: 600, colour: spell.role === ROLE.leader ? "leader" : "muted", halo: true });
      }
    } else {
      this.text(label, at, y - (down ? 0 : 1), { size: 10.5, weight: 600, colour: ink });
    }
  }

  // Packets as arrows from where and when they leave to where and when they arrive, or to a cross.
  flights() {
    const { layout, run, from, to, hiddenKinds } = this;
    if (layout.scale < SCALE_ARROWS) return;
    for (const packet of run.flights.between(from, to)) {
      const [y1, y2] = [layout.lanes.get(packet.from), layout.lanes.get(packet.to)];
      if (y1 === undefined || y2 === undefined || hiddenKinds.has(packet.kind)) continue;
      const way = Math.sign(y2 - y1);
      const start = { x: layout.x(packet.sent), y: y1 + (way * BAND) / 2 };
      const lines = [`${packet.from} → ${packet.to}  ${packet.kind} #${packet.number}`, packet.text];
      if (packet.ends.length === 0) {
        const end = { x: start.x + Math.max(10, layout.scale * 1.4), y: start.y + (y2 - y1 - way * BAND) * 0.3 };
        this.arrow(packet, start, end, "open", [...lines, `sent at step ${packet.sent}, still on its way at the end`]);
      }
      for (const { at, lost } of packet.ends) {
        if (at < from || to < packet.sent) continue;
        const share = lost ? 0.6 : 1;
        const end = { x: layout.x(at), y: start.y + (y2 - way * (BAND / 2 + 1) - start.y) * share };
        const fate = `sent at step ${packet.sent}, ${lost ? "lost" : "arrives"} at step ${at}`;
        this.arrow(packet, start, end, lost ? "lost" : "arrives", [...lines, fate], at);
      }
    }
  }

  arrow(packet, start, end, fate, lines, at = packet.sent) {
    const { context, step } = this;
    const colour = KIND_COLOURS[packet.kind] ?? "heartbeat";
    const now = packet.sent === step || at === step;
    const width = now ? 2.4 : this.layout.scale < SCALE_SIGNS ? 0.8 : 1.3;
    context.globalAlpha = now ? 1 : fate === "open" ? 0.5 : 0.82;
    this.line(start.x, start.y, end.x, end.y, fate === "lost" ? "lost" : colour, width,
      fate === "arrives" ? KIND_DASHES[colour] ?? [] : [4, 3]);
    if (this.layout.scale >= SCALE_ARROWS * 2) {
      if (fate === "lost") this.crosses.push([end.x, end.y, now ? 5 : 3.6, "lost", now ? 2.4 : 1.7]);
      if (fate === "arrives") this.head(start, end, colour, now ? 8 : 6.2);
    }
    context.globalAlpha = 1;
    this.hit(start.x, start.y, end.x, end.y, at === step ? packet.sent : at, lines);
    if (this.layout.scale >= SCALE_VERBS) this.arrowLabel(packet, start, end, fate === "lost" ? "lost" : colour);
  }

  head(start, end, colour, size) {
    const { context } = this;
    const angle = Math.atan2(end.y - start.y, end.x - start.x);
    context.fillStyle = this.palette[colour];
    context.beginPath();
    context.moveTo(end.x, end.y);
    context.lineTo(end.x - size * Math.cos(angle - 0.4), end.y - size * Math.sin(angle - 0.4));
    context.lineTo(end.x - size * Math.cos(angle + 0.4), end.y - size * Math.sin(angle + 0.4));
    context.fill();
    this.drawn += 1;
  }

  cross(x, y, size, colour, width = 2) {
    this.line(x - size, y - size, x + size, y + size, colour, width);
    this.line(x - size, y + size, x + size, y - size, colour, width);
  }

  // Beside the arrow, where there is room.
  arrowLabel(packet, start, end, colour) {
    const label = packet.text;
    const wide = this.width(label, 10.5, 500);
    for (const share of [0.5, 0.36, 0.64, 0.24, 0.76]) {
      const [x, y] = [start.x + (end.x - start.x) * share + 7, start.y + (end.y - start.y) * share];
      if (x + wide < this.layout.width && this.claim(x - 3, y - 7, wide + 6, 14)) {
        this.context.globalAlpha = 0.88;
        this.band(x - 3, y - 7, wide + 6, 14, "paper", 3);
        this.context.globalAlpha = 1;
        this.text(label, x, y, { size: 10.5, weight: 500, colour });
        return;
      }
    }
  }

  // A sign for each action, where it happens.
  signs() {
    const { layout, run, from, to } = this;
    if (layout.scale < SCALE_SIGNS) return;
    for (let moment = Math.max(1, from); moment <= to; moment += 1) {
      const action = run.actions[moment];
      const y = layout.lanes.get(action.server);
      if (y === undefined) continue;
      const x = layout.x(moment);
      const role = run.node(action.server, moment).role;
      this.sign(action.verb, x, y - 1, moment === this.step, SIGN_INKS[role]);
      this.hit(x, y, x, y, moment, [`step ${moment}: ${run.texts[moment]}`], 7);
      if (layout.scale >= SCALE_VERBS) {
        const label = `${action.verb}${action.verb === "tick" ? ` ${action.rest}` : ""}`;
        const wide = this.width(label, 10);
        const below = y + BAND / 2 + 9;
        if (wide + 6 < layout.scale * 1.9 && this.claim(x - wide / 2 - 2, below - 6, wide + 4, 12)) {
          this.text(label, x, below, { size: 10, colour: "muted", align: "center", halo: true });
        }
      }
    }
  }

  sign(verb, x, y, now, colour) {
    const { context, palette } = this;
    const size = now ? 5 : 3.4;
    const shape = { step: "dot", perform: "dot", tick: "bar", sync: "diamond", applied: "play", crash: "cross", restart: "ring",
      deliver: "none", "fail-write": "cross", damage: "cross", wipe: "cross", "roll-back": "cross", campaign: "up", "step-down": "up",
      transfer: "up", change: "up", "forget-leader": "up", propose: "under", command: "under", call: "under", read: "under", forward: "under",
      barrier: "under", verify: "under", register: "under", submit: "under", again: "under" }[verb] ?? "square";
    if (shape === "none") return;
    context.fillStyle = palette[colour];
    context.strokeStyle = palette[colour];
    context.lineWidth = 1.5;
    const path = (points) => {
      context.beginPath();
      points.forEach(([dx, dy], nth) => (nth ? context.lineTo(x + dx * size, y + dy * size) : context.moveTo(x + dx * size, y + dy * size)));
      context.closePath();
      context.fill();
      this.drawn += 1;
    };
    const circle = () => {
      context.beginPath();
      context.arc(x, y, size, 0, 7);
      this.drawn += 1;
    };
    if (shape === "dot") { circle(); context.fill(); }
    if (shape === "ring") { circle(); context.stroke(); }
    if (shape === "bar") this.line(x, y - size - 1, x, y + size + 1, colour, now ? 2.5 : 1.2);
    if (shape === "diamond") path([[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]);
    if (shape === "play") path([[-0.9, -1.2], [1.3, 0], [-0.9, 1.2]]);
    if (shape === "up") path([[0, -1.4], [1.3, 1], [-1.3, 1]]);
    if (shape === "under") path([[0, 1.3], [1.2, -1], [-1.2, -1]]);
    if (shape === "square") path([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
    if (shape === "cross") this.cross(x, y, size + 1, "broken", 2.2);
  }

  // What clients ask for, from asking to being told.
  clients() {
    const { layout, run, from, to } = this;
    if (!layout.clients) return;
    for (const request of run.asks.between(from, to)) {
      if (request.end < from || to < request.asked || layout.hidden.has(request.server)) continue;
      const y = layout.clients + request.row * REQUEST + REQUEST / 2;
      const [left, right] = [layout.x(request.asked), layout.x(request.end)];
      const colour = ["muted", "done", "refused", "unknown"][request.outcome];
      const now = request.asked === this.step || request.told === this.step;
      this.line(left, y, right, y, colour, now ? 4 : 2.4, request.outcome === 0 ? [2, 3] : []);
      this.line(left, y - 4, left, y + 4, colour, 1.6);
      if (request.outcome === 1) this.band(right - 3, y - 3, 6, 6, colour, 3);
      if (request.outcome === 2) this.cross(right, y, 3, colour, 1.6);
      if (request.outcome === 3) this.line(right, y - 4, right, y + 4, colour, 1.6, [2, 2]);
      const who = request.client ? `client ${request.client}, ` : "";
      const told = request.told ? `told at step ${request.told}: ${request.answer}` : "never told";
      this.hit(left, y, Math.max(right, left + 4), y, request.asked,
        [`request ${request.number}: ${request.text}`, `${who}asks server ${request.server} at step ${request.asked}`, told]);
      const lane = layout.lanes.get(request.server);
      if (now && lane !== undefined) {
        const x = request.asked === this.step ? left : right;
        this.line(x, y + 4, x, lane - BAND / 2, colour, 1.4, [2, 3]);
      }
    }
  }

  breach() {
    const { layout, run } = this;
    if (!run.broken) return;
    const x = Math.round(layout.x(run.broken.moment)) + 0.5;
    if (x < GUTTER || layout.width < x) return;
    this.line(x, AXIS - 4, x, layout.height, "broken", 2);
    const label = run.broken.oracle;
    const wide = this.width(label, 10.5, 700) + 14;
    const left = Math.min(x - wide / 2, layout.width - wide - 4);
    this.band(left, 2, wide, 17, "broken", 4);
    this.text(label, left + wide / 2, 11, { colour: "paper", size: 10.5, weight: 700, align: "center" });
    const lane = layout.lanes.get(run.broken.server);
    if (lane === undefined) return;
    const { context } = this;
    context.strokeStyle = this.palette.broken;
    context.lineWidth = 2.4;
    context.beginPath();
    context.arc(x, lane - 1, 11, 0, 7);
    context.stroke();
    this.drawn += 1;
    this.hit(x, lane, x, lane, run.broken.moment, [`${run.broken.oracle} is broken here`, short(run.broken.seen)], 11);
  }

  cursor() {
    const { layout, step } = this;
    const x = Math.round(layout.x(step)) + 0.5;
    this.context.globalAlpha = 0.75;
    this.line(x, AXIS - 2, x, layout.height, "cursor", 1.5);
    this.context.globalAlpha = 1;
    const broken = this.run.broken && Math.abs(layout.x(this.run.broken.moment) - x) < 90;
    const label = `${step}`;
    const wide = this.width(label, 10.5, 700) + 12;
    this.band(x - wide / 2, broken ? layout.height - 18 : 2, wide, 17, "cursor", 4);
    this.text(label, x, broken ? layout.height - 9 : 11, { colour: "paper", size: 10.5, weight: 700, align: "center" });
  }

  // Who has which lane, and what each is at the step.
  gutter(chosen) {
    const { layout, run, context, step } = this;
    context.fillStyle = this.palette.paper;
    context.fillRect(0, 0, GUTTER, layout.height);
    this.line(GUTTER + 0.5, 0, GUTTER + 0.5, layout.height, "grid");
    this.text(layout.byTime ? "ticks" : "step", GUTTER - 12, AXIS / 2 + 1, { colour: "muted", size: 10.5, align: "right" });
    if (layout.network) this.text("cut ways", GUTTER - 12, layout.network + 8, { colour: "muted", size: 11, align: "right" });
    if (layout.clients) {
      this.text("clients", GUTTER - 12, layout.clients + (run.requestRows * REQUEST) / 2, { colour: "muted", align: "right" });
    }
    const fills = ["lane", "follower", "pre", "candidate", "leader", "halted"];
    const inks = ["muted", "follower-ink", "pre-ink", "candidate-ink", "leader-ink", "halted-ink"];
    for (const [server, y] of layout.lanes) {
      const node = run.node(server, step);
      const log = run.log(server, step);
      if (server === chosen) this.band(4, y - 24, 3, 48, "cursor", 1.5);
      this.band(16, y - 13, 26, 26, fills[node.role], 7);
      if (node.role === ROLE.down) this.hatch(16, y - 13, 26, 26, "down");
      this.text(ROLE_LETTERS[node.role], 29, y + 0.5, { colour: inks[node.role], size: 13, weight: 700, align: "center" });
      this.text(`server ${server}`, 52, y - 8, { size: 12.5, weight: 650 });
      const what = node.role === ROLE.down ? "down" : `term ${node.term} · log ${log.last}`;
      this.text(what, 52, y + 8, { colour: "muted", size: 10.5 });
    }
  }

  // What is nearest to a place of the screen, if something is near.
  find(x, y) {
    let best = null;
    for (const hit of this.hits) {
      const [dx, dy] = [hit.x2 - hit.x1, hit.y2 - hit.y1];
      const length = dx * dx + dy * dy;
      const share = length ? Math.max(0, Math.min(1, ((x - hit.x1) * dx + (y - hit.y1) * dy) / length)) : 0;
      const distance = Math.hypot(x - hit.x1 - share * dx, y - hit.y1 - share * dy);
      if (distance <= hit.reach && (!best || distance <= best.distance)) best = { ...hit, distance };
    }
    return best;
  }
}
