// The run as facts: rows become lists that can be asked what is at a moment. Knows nothing of pixels.
//
// Moment 0 is the beginning, moment n is right after action n. What a row says holds until the next of its kind.

const ROLE = { down: 0, follower: 1, preCandidate: 2, candidate: 3, leader: 4, halted: 5 };
const ROLE_NAMES = ["down", "follower", "pre-candidate", "candidate", "leader", "halted"];
const ROLE_LETTERS = ["✕", "F", "P", "C", "L", "H"];
const OUTCOME_NAMES = ["open", "done", "refused", "unknown"];

// How many moments share one list of what goes on in them.
const BUCKET = 64;

// The place of the last of `moments`, which rise, that is not behind `moment`; -1 where there is none.
function lastUpTo(moments, moment) {
  let low = 0;
  let high = moments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (moments[middle] <= moment) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// What goes on from one moment to another, to be found by where it is.
class Spans {
  constructor(length) {
    this.buckets = Array.from({ length: Math.floor(length / BUCKET) + 1 }, () => []);
  }

  add(from, to, what) {
    const last = Math.min(this.buckets.length - 1, Math.floor(to / BUCKET));
    for (let nth = Math.floor(from / BUCKET); nth <= last; nth += 1) this.buckets[nth].push(what);
  }

  // Everything that goes on somewhere between the two, each once, in the order in which it was added.
  between(from, to) {
    const found = new Set();
    const last = Math.min(this.buckets.length - 1, Math.floor(to / BUCKET));
    for (let nth = Math.max(0, Math.floor(from / BUCKET)); nth <= last; nth += 1) {
      for (const what of this.buckets[nth]) found.add(what);
    }
    return [...found];
  }
}

// The text of an action, taken apart: what happens, at which server, and for packets and ways from where to where.
function parseAction(text) {
  const words = text.split(" ");
  const way = /^(\d+)>(\d+)(?:#(\d+))?$/.exec(words[1] ?? "");
  const verb = words[0];
  if (way) {
    const [from, to, number] = [Number(way[1]), Number(way[2]), Number(way[3] ?? 0)];
    const server = verb === "deliver" ? to : ["move", "sent", "lose"].includes(verb) ? from : 0;
    return { verb, server, from, to, number, rest: words.slice(2).join(" ") };
  }
  const everywhere = ["partition", "heal", "watch", "unwatch", "pass"].includes(verb);
  return { verb, server: everywhere ? 0 : Number(words[1]), from: 0, to: 0, number: 0, rest: words.slice(2).join(" ") };
}

// Names of servers as they stand in texts, short: the incarnation is of interest only where a disk was wiped.
function short(text) {
  return text.replace(/\b(\d+)@([0-9a-f]{4})[0-9a-f]{28}\b/g, "$1@$2…");
}

class Run {
  constructor(facts) {
    this.facts = facts;
    this.length = facts.steps.length;
    this.servers = Array.from({ length: facts.servers }, (_, nth) => nth + 1);
    this.kinds = facts.kinds;
    this.actions = [null, ...facts.steps.map(parseAction)];
    // A start with all of the log is the usual one.
    this.texts = ["the beginning: the cluster has just been founded", ...facts.steps.map((text) => text.replace(" tail 18446744073709551615", ""))];
    this.times = facts.timed ? [0, ...facts.times] : null;
    this.readNodes();
    this.readLogs();
    this.readPackets();
    this.readRequests();
    this.readCuts();
    this.says = new Map();
    for (const [moment, server, text] of facts.says) this.push(this.says, moment, { server, text });
    this.states = new Map();
    for (const [moment, server, text] of facts.states) this.push(this.states, moment, { server, text });
    this.waits = facts.waits.map(([kind, server, from, to]) => ({ kind, server, from, to }));
    this.broken = null;
    if (facts.broken) {
      const [moment, server, atEnd, oracle, rule, seen] = facts.broken;
      this.broken = { moment, server, atEnd, oracle, rule, seen };
    }
    this.byServer = new Map(this.servers.map((server) => [server, []]));
    for (let moment = 1; moment <= this.length; moment += 1) {
      this.byServer.get(this.actions[moment].server)?.push(moment);
    }
  }

  push(map, key, value) {
    const list = map.get(key);
    if (list) list.push(value);
    else map.set(key, [value]);
  }

  readNodes() {
    this.nodes = new Map(this.servers.map((server) => [server, { moments: [], rows: [] }]));
    this.changed = new Map();
    for (const [moment, server, role, term, vote, leader, commit, applied, durable, start] of this.facts.nodes) {
      const of = this.nodes.get(server);
      of.moments.push(moment);
      of.rows.push({ role, term, vote, leader, commit, applied, durable, start });
      this.push(this.changed, moment, server);
    }
    // Where role and term stay the same, as one.
    this.spells = new Map();
    for (const server of this.servers) {
      const { moments, rows } = this.nodes.get(server);
      const spells = [];
      rows.forEach((row, nth) => {
        const last = spells.at(-1);
        if (last && last.role === row.role && last.term === row.term) return;
        if (last) last.to = moments[nth];
        spells.push({ from: moments[nth], to: this.length, role: row.role, term: row.term });
      });
      this.spells.set(server, { froms: spells.map((spell) => spell.from), spells });
    }
  }

  // Each log as where its terms begin; those of one server share what does not change.
  readLogs() {
    this.logRows = new Map(this.servers.map((server) => [server, { moments: [], logs: [] }]));
    for (const [moment, server, kept, ...runs] of this.facts.logs) {
      const of = this.logRows.get(server);
      const before = of.logs.at(-1) ?? { starts: [], last: 0, kept: 0, before: 0 };
      let starts = before.starts;
      if (starts.length && starts.at(-1)[0] > kept) starts = starts.filter(([first]) => first <= kept);
      let last = kept;
      for (let nth = 0; nth < runs.length; nth += 2) {
        if (starts.length === 0 || starts.at(-1)[1] !== runs[nth]) starts = [...starts, [last + 1, runs[nth]]];
        last += runs[nth + 1];
      }
      of.moments.push(moment);
      of.logs.push({ starts, last, kept, before: before.last });
    }
    this.contents = new Map();
    for (const [index, term, text, server] of this.facts.entries) {
      this.contents.set(server === undefined ? `${index}.${term}` : `${index}.${term}@${server}`, text);
    }
  }

  readPackets() {
    this.flights = new Spans(this.length);
    this.sentAt = new Map();
    this.endAt = new Map();
    this.packets = this.facts.packets.map(([from, to, number, kind, text, sent, ends]) => {
      const packet = { from, to, number, kind: this.kinds[kind], text, sent };
      packet.ends = ends.map((end) => ({ at: Math.abs(end), lost: end < 0 }));
      const last = packet.ends.reduce((last, end) => Math.max(last, end.at), sent + 2);
      this.flights.add(sent, last, packet);
      this.push(this.sentAt, sent, packet);
      for (const end of packet.ends) this.push(this.endAt, end.at, { packet, lost: end.lost });
      return packet;
    });
    this.byName = new Map(this.packets.map((packet) => [`${packet.from}>${packet.to}#${packet.number}`, packet]));
  }

  // Each request gets the first row in which nothing else goes on.
  readRequests() {
    const ends = [];
    this.asks = new Spans(this.length);
    this.askedAt = new Map();
    this.toldAt = new Map();
    const ROWS = 4;
    this.requests = this.facts.requests.map(([asked, server, number, client, text, told, outcome, answer]) => {
      const request = { asked, server, number, client, text, told, outcome, answer };
      // What nobody answers is drawn for a while only, or it would be everywhere.
      request.end = told || Math.min(this.length, asked + 24);
      let row = ends.findIndex((end) => end < asked);
      if (row < 0) row = ends.length < ROWS ? ends.length : ends.indexOf(Math.min(...ends));
      ends[row] = Math.max(ends[row] ?? 0, request.end + 1);
      request.row = row;
      this.asks.add(asked, request.end, request);
      this.push(this.askedAt, asked, request);
      if (told) this.push(this.toldAt, told, request);
      return request;
    });
    this.requestRows = ends.length;
  }

  // The ways that are cut, as spells, and what they leave connected.
  readCuts() {
    this.cuts = [];
    for (const [moment, ...ends] of this.facts.cuts) {
      const last = this.cuts.at(-1);
      if (last && last.to === this.length) last.to = moment;
      const links = [];
      for (let nth = 0; nth < ends.length; nth += 2) links.push([ends[nth], ends[nth + 1]]);
      if (links.length) this.cuts.push({ from: moment, to: this.length, links, groups: this.groups(links) });
    }
    this.cutFroms = this.cuts.map((cut) => cut.from);
  }

  // Who can still talk with whom, in both directions, by way of others or not; the largest group first.
  groups(links) {
    const cut = new Set(links.map(([from, to]) => `${from}>${to}`));
    const left = new Set(this.servers);
    const groups = [];
    while (left.size) {
      const group = [left.values().next().value];
      left.delete(group[0]);
      for (const one of group) {
        for (const other of [...left]) {
          if (cut.has(`${one}>${other}`) || cut.has(`${other}>${one}`)) continue;
          left.delete(other);
          group.push(other);
        }
      }
      groups.push(group.sort((one, other) => one - other));
    }
    return groups.sort((one, other) => other.length - one.length);
  }

  // What a server is at a moment.
  node(server, moment) {
    const { moments, rows } = this.nodes.get(server);
    return rows[lastUpTo(moments, moment)];
  }

  // Its log, and whether that became so in this very moment.
  log(server, moment) {
    const { moments, logs } = this.logRows.get(server);
    const nth = lastUpTo(moments, moment);
    if (nth < 0) return { starts: [], last: 0, kept: 0, before: 0, fresh: false };
    return { ...logs[nth], fresh: moment > 0 && moments[nth] === moment };
  }

  // Which term the entry at an index has; null where there is none.
  termAt(log, index) {
    if (log.last < index) return null;
    const nth = lastUpTo(log.starts.map(([first]) => first), index);
    return nth < 0 ? null : log.starts[nth][1];
  }

  content(index, term, server) {
    return this.contents.get(`${index}.${term}@${server}`) ?? this.contents.get(`${index}.${term}`) ?? "not known";
  }

  // The spells of a server between two moments.
  spellsBetween(server, from, to) {
    const { froms, spells } = this.spells.get(server);
    return spells.slice(Math.max(0, lastUpTo(froms, from)), lastUpTo(froms, to) + 1);
  }

  cutAt(moment) {
    const cut = this.cuts[lastUpTo(this.cutFroms, moment)];
    return cut && moment < cut.to ? cut : null;
  }

  // The way that is cut, in words: two sides, or single ways.
  cutText(cut) {
    const whole = cut.groups.flatMap((group, nth) =>
      cut.groups.slice(nth + 1).map((other) => 2 * group.length * other.length)).reduce((sum, ways) => sum + ways, 0);
    if (whole === cut.links.length) return cut.groups.map((group) => group.join(" ")).join("  ┃  ");
    const ways = cut.links.slice(0, 6).map(([from, to]) => `${from}→${to}`).join("  ");
    return `cut: ${ways}${cut.links.length > 6 ? " …" : ""}`;
  }

  // The time of a moment, in ticks.
  timeText(moment) {
    if (!this.times) return "";
    const time = this.times[moment];
    return `${Math.floor(time / 1000)}.${String(time % 1000).padStart(3, "0")}`;
  }
}
