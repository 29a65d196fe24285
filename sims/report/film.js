// Plays a recorded run. Law: what is shown is a function of the time alone, so the scrubber, the keys and
// playing lead to the same picture, and the words and the table say what the canvas draws.
"use strict";

(() => {
  const film = JSON.parse(document.getElementById("record").textContent);
  const find = (id) => document.getElementById(id);
  const stage = find("stage");
  const pen = stage.getContext("2d");
  const count = film.nodes.length;
  const LONGEST = film.datagrams.reduce((most, [sent, arrives]) => Math.max(most, arrives - sent), 0);
  const LOST_AFTER = 150; // milliseconds that a lost datagram is shown, on half of its way
  const TOLD_FOR = 600; // milliseconds that a told change is shown
  const KEY_STEP = 100;
  const STATUS = { a: "alive", s: "suspect", d: "dead", l: "left", "-": "unknown" };
  const SHAPES = { probe: "circle", rumour: "triangle", settling: "square", repair: "diamond" };

  let now = 0;
  let playing = false;
  let drawnAt = null;
  let shownChapter = null;

  // What was at a time. Notes are in the order of time; each track is that of one node, or of all.

  const byNode = (notes) => film.nodes.map((_, node) => notes.filter((note) => note[1] === node));
  const conditions = byNode(film.conditions);
  const held = byNode(film.held);
  const told = byNode(film.told.map(([time, node]) => [time, node]));

  function countUntil(notes, time) { // how many notes are of this time or before
    let low = 0, high = notes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (notes[middle][0] <= time) low = middle + 1; else high = middle;
    }
    return low;
  }
  const last = (notes, time) => notes[countUntil(notes, time) - 1];

  function stateAt(time) {
    return film.nodes.map((name, node) => {
      const condition = last(conditions[node], time);
      const process = condition ? condition[2] : "not started";
      const note = process === "down" || !condition ? undefined : last(held[node], time);
      const mark = last(told[node], time);
      return {
        name, process,
        state: note ? note[2] : null,
        holds: note ? note[3] : "-".repeat(count),
        members: note ? note[4] : null,
        settled: note ? note[5] === 1 : false,
        told: mark && time - mark[0] < TOLD_FOR ? 1 - (time - mark[0]) / TOLD_FOR : 0,
      };
    });
  }

  // Words.

  const seconds = (time) => (time / 1000).toFixed(2);

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tell(nodes) {
    const up = nodes.filter((node) => node.state !== null);
    const states = new Set(up.map((node) => node.state)).size;
    const accused = film.nodes
      .map((name, subject) => [name, up.filter((node) => node.holds[subject] === "s").length])
      .filter(([, by]) => by > 0)
      .map(([name, by]) => `${name} (by ${by})`);
    setText(find("time"), `${seconds(now)} of ${seconds(film.end)} s`);
    setText(find("facts"),
      `${up.length} of ${count} nodes run, and hold ${states} different state${states === 1 ? "" : "s"}; ` +
      `${up.filter((node) => node.settled).length} have settled. ` +
      (accused.length ? `Suspected: ${accused.join(", ")}.` : "Nobody is suspected."));
    const chapter = countUntil(film.chapters, now) - 1;
    if (chapter !== shownChapter) {
      shownChapter = chapter;
      setText(find("chapter"), chapter < 0 ? "" : film.chapters[chapter][1]);
      [...find("chapters").querySelectorAll("button")].forEach((button, at) => {
        if (at === chapter) button.setAttribute("aria-current", "step");
        else button.removeAttribute("aria-current");
      });
    }
    find("scrubber").value = String(now);
    find("scrubber").setAttribute("aria-valuetext", `${seconds(now)} seconds`);
    if (find("table").open) tabulate(nodes);
  }

  function tabulate(nodes) {
    const rows = find("nodes").rows;
    nodes.forEach((node, at) => {
      const counted = (letter) => [...node.holds].filter((each) => each === letter).length;
      const cells = node.state === null
        ? [node.name, node.process, "–", "–", "–", "–", "–", "–"]
        : [node.name, node.process, node.state, node.members, counted("a"), counted("s"), counted("d"),
           node.settled ? "yes" : "no"];
      cells.forEach((cell, column) => setText(rows[at].cells[column], String(cell)));
    });
  }

  // Picture.

  let palette = {};
  function readPalette() {
    const style = getComputedStyle(document.documentElement);
    palette = Object.fromEntries(
      ["ground", "text", "faint", "line", "accent", "alive", "suspect", "dead", "left", "unknown",
       "probe", "rumour", "settling", "repair"].map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }
  // Neighbouring numbers get distant hues.
  const hue = (state) => `hsl(${(state * 137.508) % 360} 55% 46%)`;

  const angle = (place) => (place / count) * 2 * Math.PI - Math.PI / 2;
  function spot(place, size, radius = 0.4) {
    return [size / 2 + Math.cos(angle(place)) * size * radius, size / 2 + Math.sin(angle(place)) * size * radius];
  }

  function shape(kind, x, y, r) {
    pen.beginPath();
    const form = SHAPES[kind];
    if (form === "circle") pen.arc(x, y, r, 0, 2 * Math.PI);
    else if (form === "square") pen.rect(x - r, y - r, 2 * r, 2 * r);
    else {
      pen.moveTo(x, y - 1.3 * r);
      if (form === "triangle") { pen.lineTo(x + 1.2 * r, y + r); pen.lineTo(x - 1.2 * r, y + r); }
      else { pen.lineTo(x + 1.3 * r, y); pen.lineTo(x, y + 1.3 * r); pen.lineTo(x - 1.3 * r, y); }
      pen.closePath();
    }
    pen.fill();
  }

  function drawSides(size) {
    const note = last(film.sides, now);
    if (!note || new Set(note[1]).size < 2) return;
    pen.strokeStyle = palette.dead;
    pen.lineWidth = 2;
    pen.setLineDash([8, 6]);
    for (let place = 0; place < count; place++) {
      if (note[1][place] !== note[1][(place + 1) % count]) {
        pen.beginPath();
        pen.moveTo(size / 2, size / 2);
        pen.lineTo(...spot(place + 0.5, size, 0.49));
        pen.stroke();
      }
    }
    pen.setLineDash([]);
  }

  function drawDatagrams(size) {
    const from = countUntil(film.datagrams, now - Math.max(LONGEST, LOST_AFTER) - 1);
    const to = countUntil(film.datagrams, now);
    for (let at = from; at < to; at++) {
      const [sent, arrives, source, target, kind] = film.datagrams[at];
      const lost = arrives < 0;
      const way = lost ? (now - sent) / LOST_AFTER : (now - sent) / Math.max(1, arrives - sent);
      if (way > 1) continue;
      const [x0, y0] = spot(source, size), [x1, y1] = spot(target, size);
      const along = lost ? way / 2 : way;
      pen.globalAlpha = lost ? 1 - way : 1;
      pen.fillStyle = palette[film.kinds[kind]];
      shape(film.kinds[kind], x0 + (x1 - x0) * along, y0 + (y1 - y0) * along, size / 130);
    }
    pen.globalAlpha = 1;
  }

  function drawNode(node, place, size) {
    const [x, y] = spot(place, size);
    const r = size * 0.036;
    const dim = node.state === null;
    if (node.told) {
      pen.globalAlpha = node.told * 0.6;
      pen.fillStyle = palette.accent;
      pen.beginPath(); pen.arc(x, y, r * (2.6 - node.told * 0.6), 0, 2 * Math.PI); pen.fill();
      pen.globalAlpha = 1;
    }
    pen.fillStyle = palette.ground;
    pen.beginPath(); pen.arc(x, y, r * 1.75, 0, 2 * Math.PI); pen.fill();
    pen.fillStyle = dim ? palette.unknown : hue(node.state);
    pen.beginPath(); pen.arc(x, y, r, 0, 2 * Math.PI); pen.fill();
    if (!dim) {
      pen.lineWidth = r * 0.34;
      for (let subject = 0; subject < count; subject++) {
        pen.strokeStyle = palette[STATUS[node.holds[subject]]];
        pen.beginPath();
        pen.arc(x, y, r * 1.32, angle(subject - 0.42), angle(subject + 0.42));
        pen.stroke();
      }
      pen.strokeStyle = node.settled ? palette.text : palette.line;
      pen.lineWidth = node.settled ? 1.5 : 1;
      pen.setLineDash(node.settled ? [] : [3, 4]);
      pen.beginPath(); pen.arc(x, y, r * 1.7, 0, 2 * Math.PI); pen.stroke();
      pen.setLineDash([]);
    }
    pen.fillStyle = dim ? palette.faint : "#ffffff";
    pen.font = `600 ${Math.round(r * 1.1)}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const inside = { down: "×", paused: "‖", "not started": "" }[node.process];
    pen.fillText(inside === undefined ? String(node.members ?? "") : inside, x, y);
    pen.fillStyle = dim ? palette.faint : palette.text;
    pen.font = `${Math.max(10, Math.round(size * 0.022))}px system-ui, sans-serif`;
    // Beside the ring's upper nodes is more room above, beside the others below.
    pen.fillText(node.name, x, y + (Math.sin(angle(place)) < -0.1 ? -2.3 : 2.3) * r);
  }

  function show() {
    const nodes = stateAt(now);
    const size = stage.clientWidth;
    const scale = window.devicePixelRatio || 1;
    const pixels = Math.round(size * scale);
    if (stage.width !== pixels) stage.width = stage.height = pixels;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size, size);
    drawSides(size);
    drawDatagrams(size); // below the nodes, which stay readable
    nodes.forEach((node, place) => drawNode(node, place, size));
    tell(nodes);
  }

  // Time.

  function seek(time) {
    now = Math.min(film.end, Math.max(0, time));
    show();
  }

  function frame(stamp) {
    if (!playing) return;
    if (drawnAt !== null) {
      seek(now + Math.min(250, stamp - drawnAt) * Number(find("speed").value));
      if (now >= film.end) return play(false);
    }
    drawnAt = stamp;
    requestAnimationFrame(frame);
  }

  function play(on) {
    if (on === playing) return;
    playing = on;
    drawnAt = null;
    find("play").textContent = on ? "Pause" : "Play";
    if (on) {
      if (now >= film.end) now = 0;
      requestAnimationFrame(frame);
    }
  }

  // Page.

  function sample(name, form) {
    const forms = {
      circle: '<circle cx="8" cy="8" r="6"/>', square: '<rect x="3" y="3" width="10" height="10"/>',
      triangle: '<path d="M8 2 14 13H2z"/>', diamond: '<path d="M8 1l7 7-7 7-7-7z"/>',
      arc: '<rect x="1" y="5" width="14" height="6"/>',
    };
    const item = document.createElement("li");
    item.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true" fill="var(--${name})">${forms[form]}</svg>`;
    return item;
  }

  function build() {
    for (const kind of film.kinds) {
      const item = sample(kind, SHAPES[kind]);
      item.append(`datagram: ${kind}`);
      find("legend").append(item);
    }
    for (const status of Object.values(STATUS)) {
      const item = sample(status, "arc");
      item.append(`held: ${status}`);
      find("legend").append(item);
    }
    for (const text of ["× not running", "‖ stalled", "dashed line: the network is parted",
                        "flash: the application is told of a settled change",
                        "a datagram with parts of several kinds is shown as the last of these"]) {
      const item = document.createElement("li");
      item.textContent = text;
      find("legend").append(item);
    }
    for (const [time, title] of film.chapters) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${(time / 1000).toFixed(1)} s: ${title}`;
      button.addEventListener("click", () => seek(time));
      item.append(button);
      find("chapters").append(item);
    }
    film.nodes.forEach(() => {
      const row = find("nodes").insertRow();
      for (let column = 0; column < 8; column++) row.insertCell().className = [0, 1, 7].includes(column) ? "text" : "";
    });
    find("scrubber").max = String(film.end);
    find("scrubber").addEventListener("input", (event) => seek(Number(event.target.value)));
    find("play").addEventListener("click", () => play(!playing));
    find("table").addEventListener("toggle", show);
    stage.addEventListener("keydown", (event) => {
      const act = {
        " ": () => play(!playing),
        ArrowLeft: () => seek(now - KEY_STEP), ArrowRight: () => seek(now + KEY_STEP),
        Home: () => seek(0), End: () => seek(film.end),
      }[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    new ResizeObserver(show).observe(stage);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); show(); });
  }

  readPalette();
  build();
  show();
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
})();
