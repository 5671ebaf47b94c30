// The whole run in one strip: roles, cut ways, what broke, and which part is to be seen. It is drawn once for each size and colour, as wide
// as the screen, and the marks on it with every frame.

class Overview {
  constructor(canvas, chart) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.chart = chart;
    this.run = chart.run;
    this.below = document.createElement("canvas");
    this.stale = true;
  }

  resize(width) {
    this.width = width;
    this.row = Math.max(5, Math.min(9, Math.floor(52 / this.run.facts.servers)));
    this.height = 14 + this.row * this.run.facts.servers + 6;
    this.stale = true;
  }

  x(moment) {
    return GUTTER + 14 + (moment / Math.max(1, this.run.length)) * (this.width - GUTTER - 34);
  }

  momentAt(x) {
    const share = (x - GUTTER - 14) / (this.width - GUTTER - 34);
    return Math.max(0, Math.min(this.run.length, Math.round(share * this.run.length)));
  }

  // What does not change: for every server its spells, the rarer ones above the others, so that no leader is lost between two pixels.
  paint(ratio) {
    this.below.width = Math.round(this.width * ratio);
    this.below.height = Math.round(this.height * ratio);
    const pen = this.below.getContext("2d");
    const { palette } = this.chart;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = palette.paper;
    pen.fillRect(0, 0, this.width, this.height);
    const fills = ["down", "follower", "pre", "candidate", "leader", "halted"];
    const order = [ROLE.follower, ROLE.preCandidate, ROLE.candidate, ROLE.down, ROLE.halted, ROLE.leader];
    for (const server of this.run.servers) {
      const y = 14 + (server - 1) * this.row;
      for (const role of order) {
        pen.fillStyle = palette[fills[role]];
        for (const spell of this.run.spells.get(server).spells) {
          if (spell.role !== role) continue;
          const left = this.x(spell.from);
          pen.fillRect(left, y, Math.max(role === ROLE.follower ? 0.5 : 1, this.x(spell.to) - left), this.row - 1.5);
        }
      }
    }
    pen.fillStyle = palette.cut;
    for (const cut of this.run.cuts) pen.fillRect(this.x(cut.from), 8, Math.max(1, this.x(cut.to) - this.x(cut.from)), 4);
    this.stale = false;
  }

  draw(step) {
    const { canvas, context, chart } = this;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(this.width * ratio) || canvas.height !== Math.round(this.height * ratio)) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
      canvas.style.height = `${this.height}px`;
      this.stale = true;
    }
    if (this.stale) this.paint(ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.below, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { palette, layout } = chart;
    const [from, to] = layout.visible();
    const bottom = this.height - 3;
    context.globalAlpha = 0.14;
    context.fillStyle = palette.cursor;
    const [left, right] = [this.x(from), Math.max(this.x(to), this.x(from) + 2)];
    context.fillRect(left, 6, right - left, bottom - 6);
    context.globalAlpha = 1;
    context.strokeStyle = palette.cursor;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, 6.5, Math.max(1, right - left - 1), bottom - 7);
    this.mark(this.x(step), palette.cursor, bottom);
    if (this.run.broken) this.mark(this.x(this.run.broken.moment), palette.broken, bottom, true);
    context.fillStyle = palette.muted;
    context.font = `400 10.5px ${FONT}`;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText("whole run", GUTTER - 12, 14 + (this.row * this.run.facts.servers) / 2);
  }

  mark(x, colour, bottom, sign = false) {
    const { context } = this;
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, 4);
    context.lineTo(x, bottom);
    context.stroke();
    if (!sign) return;
    context.beginPath();
    context.moveTo(x - 5, 0);
    context.lineTo(x + 5, 0);
    context.lineTo(x, 7);
    context.fill();
  }
}
