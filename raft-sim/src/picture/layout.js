// Where everything is on the screen: lanes from top to bottom, moments from left to right. Knows nothing of how it looks.

const GUTTER = 138;
const AXIS = 24;
const BAND = 20;
const REQUEST = 12;

// The most moments that are drawn at once; more are shown by the overview only.
const VISIBLE_MAX = 2400;
const SCALE_MAX = 120;

class Layout {
  constructor(run) {
    this.run = run;
    this.width = 800;
    this.height = 400;
    this.scale = 13;
    this.left = 0;
    this.byTime = false;
    this.hidden = new Set();
    this.places = null;
  }

  // Puts lanes where there is room for them; what does not fit makes the chart higher.
  resize(width, height) {
    this.width = width;
    const shown = this.shown();
    const rows = this.run.requestRows;
    let top = AXIS + 6;
    this.network = this.run.cuts.length ? top + 8 : null;
    if (this.network) top += 24;
    this.clients = rows ? top + 4 : null;
    if (this.clients) top += rows * REQUEST + 14;
    const least = this.run.facts.servers > 5 ? 54 : 74;
    const room = Math.max(least, Math.min(150, (height - top - 6) / Math.max(1, shown.length)));
    this.lanes = new Map(shown.map((server, nth) => [server, top + room * nth + room / 2 - 3]));
    this.room = room;
    this.most = Math.ceil(top + 150 * shown.length + 6);
    this.height = Math.max(Math.min(height, this.most), Math.ceil(top + room * shown.length + 6));
    this.top = top;
    this.limit();
  }

  shown() {
    return this.run.servers.filter((server) => !this.hidden.has(server));
  }

  // By virtual time every moment has its own place, in units of which each action has one on average.
  setByTime(byTime) {
    this.byTime = byTime && this.run.times !== null;
    this.places = null;
    if (this.byTime) {
      const unit = Math.max(1, this.run.times[this.run.length] / Math.max(1, this.run.length));
      this.places = this.run.times.map((time) => time / unit);
    }
    this.limit();
  }

  place(moment) {
    return this.places ? this.places[moment] : moment;
  }

  // The last moment holds on for a while, or nobody would see it.
  end() {
    return this.place(this.run.length) + 1;
  }

  x(moment) {
    return GUTTER + 14 + (this.place(moment) - this.left) * this.scale;
  }

  // The moment at a place of the screen.
  momentAt(x) {
    const place = (x - GUTTER - 14) / this.scale + this.left;
    if (!this.places) return Math.max(0, Math.min(this.run.length, Math.round(place)));
    const nth = Math.max(0, lastUpTo(this.places, place));
    const next = Math.min(this.run.length, nth + 1);
    return this.places[next] - place < place - this.places[nth] ? next : nth;
  }

  span() {
    return Math.max(40, this.width - GUTTER - 34);
  }

  // The first and the last moment that is to be seen, never more than can be drawn.
  visible() {
    const right = this.left + this.span() / this.scale + 1;
    if (!this.places) {
      const from = Math.max(0, Math.floor(this.left) - 1);
      return [from, Math.min(this.run.length, Math.ceil(right), from + VISIBLE_MAX)];
    }
    const from = Math.max(0, lastUpTo(this.places, this.left) - 1);
    return [from, Math.min(this.run.length, lastUpTo(this.places, right) + 1, from + VISIBLE_MAX)];
  }

  least() {
    return Math.max(this.span() / Math.max(1, this.end()), this.span() / VISIBLE_MAX);
  }

  limit() {
    this.scale = Math.min(Math.max(SCALE_MAX, this.span() / Math.max(1, this.end())), Math.max(this.least(), this.scale));
    // A short run is not torn apart.
    if (this.end() * SCALE_MAX < this.span()) this.scale = SCALE_MAX;
    this.left = Math.max(0, Math.min(this.left, this.end() - this.span() / this.scale));
  }

  // What fits whole is shown whole, larger runs at a size at which one can read them.
  fitFirst() {
    const whole = this.span() / Math.max(1, this.end());
    this.scale = whole >= 8 ? whole : 13;
    this.limit();
  }

  fitAll() {
    this.scale = this.least();
    this.limit();
  }

  zoom(factor, x) {
    const place = (x - GUTTER - 14) / this.scale + this.left;
    this.scale *= factor;
    this.scale = Math.min(SCALE_MAX, Math.max(this.least(), this.scale));
    this.left = place - (x - GUTTER - 14) / this.scale;
    this.limit();
  }

  pan(pixels) {
    this.left += pixels / this.scale;
    this.limit();
  }

  // Moves as little as needed for a moment to be seen with some room around it.
  reveal(moment) {
    const place = this.place(moment);
    const seen = this.span() / this.scale;
    const margin = Math.min(seen / 4, 12);
    if (place < this.left + margin) this.left = place - Math.max(margin, seen / 3);
    if (this.left + seen - margin < place) this.left = place - Math.min(seen - margin, (2 * seen) / 3);
    this.limit();
  }
}
