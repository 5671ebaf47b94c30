// Appended to a page by `.ci/pictures`: uses it as somebody would, by real events, and writes down what came of it, one line a check. The
// last line says how many there were, so that a page whose program broke down is not taken for one that is right.

// A browser without a window may have no frames; what waits for one comes as soon as all else is done.
window.requestAnimationFrame = (done) => setTimeout(done, 0);
asked = false;

(async () => {
  const lines = [];
  const check = (name, holds, seen) => lines.push(`${holds ? "ok" : "FAILED"} ${name}${holds ? "" : `: ${JSON.stringify(seen)}`}`);
  const key = (name, more = {}) => dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
  const step = () => Number(document.body.dataset.step);
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const drawn = async () => { await frame(); return Number(document.body.dataset.drawn); };
  const pointer = (target, type, x, y, more = {}) => {
    const box = target.getBoundingClientRect();
    target.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true, ...more }));
  };
  const text = (id) => byId(id).textContent;

  try {
    // Steps by keys, from the beginning to the end.
    const far = Math.min(11, run.length);
    key("Home");
    const seen = [step()];
    for (const [name, more] of [["ArrowRight"], ["ArrowRight", { shiftKey: true }], ["ArrowLeft"], ["End"], ["ArrowRight"], ["Home"], ["ArrowLeft"]]) {
      key(name, more ?? {});
      seen.push(step());
    }
    const expected = [0, 1, far, far - 1, run.length, run.length, 0, 0];
    check("steps", JSON.stringify(seen) === JSON.stringify(expected), [seen, expected]);
    key("ArrowRight");
    check("words", text("action") === run.texts[1] && text("moment").startsWith(`step 1 of ${run.length}`), text("action"));
    byId("forth").click();
    check("buttons", step() === Math.min(2, run.length), step());
    key("PageDown");
    check("screens", step() > 2 || run.length <= 2, step());

    // What broke is seen from the start, and led to.
    if (run.broken) {
      key("v");
      const verdict = byId("verdict");
      const said = verdict.offsetHeight > 0 && verdict.textContent.includes(run.broken.oracle) && text("rule").includes(run.broken.rule);
      const there = step() === run.broken.moment && document.querySelector("#news .broken") !== null;
      await frame();
      const marked = chart.hits.some((hit) => hit.lines[0].includes("is broken here"));
      check("violation", said && there && (marked || run.broken.server === 0), [said, there, marked]);
    } else {
      check("violation", byId("verdict").offsetHeight === 0, "a verdict without a violation");
    }

    // The address, both ways.
    const middle = Math.ceil(run.length / 2);
    goTo(middle);
    const written = location.hash.includes(`step=${middle}`);
    location.hash = "#step=3";
    await new Promise((done) => addEventListener("hashchange", () => setTimeout(done), { once: true }));
    check("address", written && step() === Math.min(3, run.length), [written, step()]);

    // The chosen server.
    key("1");
    key("Home");
    key("n");
    const first = step();
    key("n");
    const second = step();
    key("p");
    const own = run.byServer.get(1);
    check("server", first === own[0] && second === (own[1] ?? own[0]) && step() === own[0], [first, second, step()]);
    key("1");

    // The logs below are those of the step.
    goTo(run.length);
    const strips = run.servers.map((server) => {
      const log = run.log(server, run.length);
      const cells = [...document.querySelectorAll(`[data-server="${server}"] .cell:not(.gone)`)];
      const terms = cells.filter((cell) => !cell.classList.contains("snapshot")).map((cell) => Number(cell.textContent));
      const tail = Array.from({ length: log.last }, (_, nth) => run.termAt(log, nth + 1)).slice(-terms.length || log.last);
      return terms.length ? JSON.stringify(terms) === JSON.stringify(tail.slice(-terms.length)) : true;
    });
    const some = document.querySelectorAll("#logs .cell").length > 0;
    check("logs", some && strips.every(Boolean), [some, strips]);

    // Boxes leave out kinds of packets, and servers. A moment is looked for at which there is one.
    const packet = run.packets.find((packet) => packet.ends.some((end) => !end.lost)) ?? run.packets[0];
    if (packet) {
      goTo(packet.sent);
      const before = await drawn();
      const shown = () => chart.hits.filter((hit) => hit.lines[0].includes(`  ${packet.kind} #`)).length;
      const [had, box] = [shown(), view.kinds.get(packet.kind)];
      box.click();
      const after = await drawn();
      const without = shown();
      box.click();
      await drawn();
      check("filter", had > 0 && without === 0 && after < before && shown() === had, [had, without, before, after, shown()]);

      // What is pointed at is said.
      const hit = chart.hits.find((hit) => hit.lines[0].includes(`  ${packet.kind} #`) && hit.x1 > GUTTER && hit.x2 < layout.width);
      if (hit) pointer(byId("chart"), "pointermove", (hit.x1 + hit.x2) / 2, (hit.y1 + hit.y2) / 2);
      check("hover", hit && !byId("tip").hidden && text("tip").length > 5, text("tip"));
    }
    if (run.servers.length > 1) {
      view.servers.get(1).click();
      await frame();
      const gone = !layout.lanes.has(1) && document.querySelector('[data-server="1"]') === null;
      view.servers.get(1).click();
      await frame();
      check("servers", gone && layout.lanes.has(1) && document.querySelector('[data-server="1"]') !== null, gone);
    }

    // A click goes where it is, in the chart and in the overview.
    goTo(0);
    await frame();
    const target = Math.min(run.length, 5);
    const x = layout.x(target);
    pointer(byId("chart"), "pointerdown", x, 3);
    pointer(byId("chart"), "pointerup", x, 3);
    const clicked = step();
    pointer(byId("overview"), "pointerdown", overview.x(middle), 20, { buttons: 1 });
    check("click", clicked === target && Math.abs(step() - middle) <= Math.max(1, run.length / 400), [clicked, step(), middle]);

    // Light and dark.
    const paper = chart.palette.paper;
    key("t");
    const other = chart.palette.paper;
    key("t");
    check("theme", paper !== other && paper === chart.palette.paper && location.hash.includes("theme="), [paper, other]);

    // However long the run: as much is drawn as fits the window. And something is.
    let [most, least] = [0, Infinity];
    for (const share of [0, 0.3, 0.7, 1]) {
      for (const zoom of ["0", ..."++++++++++++"]) {
        goTo(share * run.length);
        key(zoom);
        const count = await drawn();
        [most, least] = [Math.max(most, count), Math.min(least, count)];
      }
    }
    check("bounded", most < 5000 && least > 5, [most, least]);
    lines.push(`drawn at most ${most}`);
  } catch (error) {
    lines.push(`FAILED with ${error}`);
  }
  document.body.append(element("pre", { id: "checks" }, `\n${lines.join("\n")}\nchecks ${lines.filter((line) => /^(ok|FAILED)/.test(line)).length}\n`));
})();
