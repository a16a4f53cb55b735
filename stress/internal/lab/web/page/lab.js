// The page of the lab. It shows what the server says, and asks it for steps; it knows
// nothing by itself. The server says everything at once, whenever something has changed.
"use strict";

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let now = null; // what the server said last
let queue = Promise.resolve(); // what was asked for is done one after the other
let waiting = 0;
let nextOrder = 0;
const ran = new Map(); // orders that were run, and what came of them

// make builds an element; text is never taken for HTML.
function make(tag, cls, ...inside) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...inside);
  return e;
}

const grouped = (n) => n.toLocaleString("en-US");

// ask wants something of the server, and waits until it is done and shown.
async function ask(request) {
  try {
    const r = await fetch("do", { method: "POST", body: JSON.stringify(request) });
    if (!r.ok) throw new Error(await r.text());
    fail("");
    show(await r.json());
    return true;
  } catch (e) {
    fail(String(e.message || e));
    return false;
  }
}

// later does something behind all that was asked for before.
function later(f) {
  const most = 20; // of a key that somebody leans on
  if (!now || waiting >= most) return;
  waiting++;
  queue = queue.then(f).finally(() => waiting--);
}

function fail(text) {
  $("failed").hidden = !text;
  $("failed").textContent = text;
}

// replay plays a schedule with new processes: one step after the other, so that it can be
// followed, or at once.
async function replay(program, schedule, slowly) {
  if (!(await ask({ program }))) return false;
  if (!slowly || calm.matches || schedule.length > 60) return ask({ schedule });
  try {
    for (const [i, letter] of [...schedule].entries()) {
      $("next").textContent = "next: " + schedule.slice(i);
      await new Promise((done) => setTimeout(done, 120)); // for the eye
      if (!(await ask({ schedule: letter }))) return false;
    }
    return true;
  } finally {
    $("next").textContent = "";
  }
}

async function runOrder(i) {
  const order = now.orders[i];
  nextOrder = (i + 1) % now.orders.length;
  if (await replay("plain", order.schedule, true)) ran.set(order.schedule, true);
  showOrders(now);
}

const actions = {
  a: () => ask({ schedule: "A" }),
  b: () => ask({ schedule: "B" }),
  x: () => ask({ schedule: "x" }),
  y: () => ask({ schedule: "y" }),
  k: () => now.holder ? ask({ schedule: now.holder === "A" ? "x" : "y" }) : null,
  r: () => ask({ burst: 1000 }),
  m: () => ask({ burst: 1000000 }),
  l: () => ask({ program: now.locked ? "plain" : "mutex" }),
  n: () => ask({ program: now.program }),
  o: () => runOrder(nextOrder),
  p: (schedule) => replay(now.program, schedule.replace(/[ .]/g, ""), true),
};

function press(key) {
  const schedule = $("schedule").value; // as it is now, and not when its turn has come
  if (actions[key]) later(() => actions[key](schedule));
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || e.target.tagName === "INPUT") return;
  const key = e.key.toLowerCase();
  if (actions[key]) {
    e.preventDefault();
    if (!e.repeat) press(key);
  }
});
document.addEventListener("click", (e) => {
  const b = e.target.closest("button");
  if (!b) return;
  if (b.dataset.key) press(b.dataset.key);
  if (b.dataset.program) later(() => ask({ program: b.dataset.program }));
});
$("form").addEventListener("submit", (e) => {
  e.preventDefault();
  press("p");
});

// changed marks what differs from what it was.
function changed(e, was, is) {
  if (was !== undefined && was !== is) e.classList.add("flash");
  return e;
}

function number(v) {
  return v < 1 << 20 ? String(v) : "0x" + v.toString(16);
}

function showProcess(p, before, s) {
  const box = $(p.name);
  box.className = "proc " + p.state;
  const code = make("ol", "code");
  s.code.forEach((l, i) => {
    if (l.passed && i > 0 && s.code[i - 1].passed) return; // one line for all of them
    if (l.passed) {
      const end = s.code.findIndex((m, j) => j > i && !m.passed);
      const n = (end < 0 ? s.code.length : end) - i;
      const li = make("li", "passed", make("span", ""), make("span", "asm", "(" + n + (i ? " more, to return)" : " first, to make a frame)")));
      li.title = s.code.slice(i, i + n).map((m) => m.asm).join("\n");
      code.append(li);
      return;
    }
    const here = i === p.at && p.state !== "dead";
    const li = make("li", here ? "here" : "",
      make("span", "", here ? "▶" : ""), make("span", "asm", l.asm || l.source), make("span", "source", l.asm ? l.source : ""));
    if (here) li.setAttribute("aria-current", "step");
    li.title = (l.addr ? "0x" + l.addr.toString(16) + "  " : "") + "programs.go:" + l.number + "  " + l.source;
    code.append(li);
  });
  const regs = make("div", "regs");
  (p.registers || []).forEach((r, i) => {
    // At home they are those of the way there, and mean nothing.
    const old = !p.home && before && !before.home && before.pid === p.pid && before.registers && before.registers[i];
    regs.append(changed(make("div", "", make("span", "", r.Name), number(r.Value)), old ? old.Value : undefined, r.Value));
  });
  const [step, kill] = p.name === "A" ? ["a", "x"] : ["b", "y"];
  const buttons = make("div", "buttons", button(step, "step " + p.name, "step", p.state === "dead"), button(kill, "kill -9", "", p.state === "dead"));
  const focused = document.activeElement && document.activeElement.dataset.key;
  box.replaceChildren(
    make("div", "who", make("span", "name", p.name), make("span", "pid", "pid " + p.pid), make("span", "says", p.says)),
    code, regs, buttons);
  if (focused === step || focused === kill) box.querySelector(`[data-key=${focused}]`).focus();
}

function button(key, text, cls, off) {
  const b = make("button", cls, make("kbd", "", key.toUpperCase()), " " + text);
  b.dataset.key = key;
  b.disabled = off;
  return b;
}

function showMemory(s, before) {
  $("memory").replaceChildren(...s.memory.map((f, n) => {
    const bytes = make("div", "bytes");
    for (let i = 0; i < f.bytes.length; i += 2) {
      const b = f.bytes.slice(i, i + 2);
      const old = before && before.memory[n].name === f.name && before.memory[n].bytes.slice(i, i + 2);
      bytes.append(changed(make("i", b === "00" ? "zero" : "", b), old || undefined, b));
    }
    return make("div", "field", make("span", "", f.name), bytes);
  }));
  $("lock").textContent = s.locked ? "The lock: " + s.lock + "." : s.take ? "" : "The lock is not used.";
  $("queue").replaceChildren(...(s.queue.length ? s.queue : ["nobody"]).map((q) => make("li", "", q)));
}

function showNumbers(s) {
  const lost = s.expected - s.n;
  $("expected").textContent = grouped(s.expected);
  $("actual").textContent = grouped(s.n);
  $("lost").textContent = grouped(lost);
  $("lostbox").className = lost > 0 ? "some" : s.expected > 1 ? "none" : "";
  $("numbers").className = s.expected > 99999 ? "long" : "";
  const burst = s.bursts && s.bursts[s.bursts.length - 1];
  $("burst").replaceChildren();
  if (burst) {
    const gone = burst.of - burst.got;
    $("burst").append("At full speed, together: ", make("b", "", grouped(burst.got)), " of ", make("b", "", grouped(burst.of)), " additions arrived; ",
      make("b", gone ? "bad" : "good", grouped(gone) + " lost" + (gone ? " (" + (100 * gone / burst.of).toFixed(1) + " %)" : "")), ".");
  }
}

function showHistory(s) {
  const body = $("history").querySelector("tbody");
  body.replaceChildren(...s.rows.map((r, i) => {
    const cell = () => [r.text, make("em", "", r.note || "")];
    const tr = make("tr", "", make("td", "", String(s.omitted + i + 1)));
    if (r.letter) {
      const isA = r.letter === "A" || r.letter === "x";
      tr.append(make("td", "", ...(isA ? cell() : [])), make("td", "", ...(isA ? [] : cell())));
    } else {
      const both = make("td", "", ...cell());
      both.colSpan = 2;
      tr.append(both);
    }
    tr.append(make("td", "", grouped(r.n)));
    return tr;
  }));
  $("history").scrollTop = $("history").scrollHeight;
  if (document.activeElement !== $("schedule") && s.schedule) $("schedule").value = s.schedule;
}

function showOrders(s) {
  $("orders").replaceChildren(...s.orders.map((o, i) => {
    const b = make("button", (ran.has(o.schedule) ? "ran " : "") + (o.n < 2 ? "bad" : "good"), o.schedule + (o.n < 2 ? " ✗" : " ✓"));
    b.title = "the counter comes to " + o.n + "; run it for real";
    b.addEventListener("click", () => later(() => runOrder(i)));
    return b;
  }));
  const lose = s.orders.filter((o) => o.n < 2).length;
  $("tally").textContent = `${lose} of ${s.orders.length} lose an addition (✗). A click runs one, with new processes. Run so far: ${ran.size}.`;
}

// task says what to try next, or what has just been seen.
function task(s) {
  const lost = s.expected - s.n;
  const burst = s.bursts && s.bursts.length > 0;
  const asleep = s.procs.find((p) => p.state === "asleep");
  if (s.mended) return s.mended[0].toUpperCase() + s.mended.slice(1) + ". The kernel told the survivor, and nobody hangs. Go on with it, or N for new processes.";
  if (s.program === "mutex") {
    if (asleep) return `${asleep.name} sleeps in the kernel until ${s.holder} unlocks. Step ${s.holder} to its end, or kill it with K while it holds the lock.`;
    if (s.holder) return `${s.holder} holds the lock. Now let the other one try to take it.`;
    if (burst) return "Not one is lost. What the mutex costs: stress demo lost-update.";
    return "Now with mutex.Mutex. Try to lose an addition again: let A take the lock, then let B try.";
  }
  if (s.program === "checked") {
    const dead = s.procs.find((p) => p.state === "dead");
    const taken = !/^0*$/.test(s.memory[1].bytes);
    const inside = s.procs.filter((p) => p.state === "stands" && !p.home && p.at >= s.take).length;
    if (dead && taken && inside === 0 && s.procs.some((p) => p.state !== "dead")) return `${dead.name} died with the lock. The other one looks, and looks again, for ever: the kernel knows nothing of this lock. Compare K with the mutex.`;
    if (inside === 2) return "Both are inside: each had looked before the other took it. Go on, and lose an addition.";
    if (lost > 0) return "Lost, in spite of a lock: to look and to take are two steps. One instruction must do both (compare-and-swap): the mutex has it.";
    return "A lock of our own: look whether it is taken, then take it. Get both processes inside at once.";
  }
  if (s.program === "increment") {
    if (lost > 0) return "Lost, although it is one instruction: inside it the CPU loads, adds and stores, and without LOCK another CPU comes between.";
    return "One instruction cannot be divided by stepping. Run 1,000 for real (R): on two CPUs, are they all there?";
  }
  if (lost > 0) return burst ? "Lost, at full speed. Put the lock on (L), and run them again." : "Lost: both loaded the same value, and the later store overwrote the earlier one. Put the lock on (L), and try again.";
  if (s.expected > 1) return "Nothing lost: one had finished before the other began. Find an order in which an addition is lost.";
  return "Break it: lose an addition, in as few steps as you can. You are the scheduler: A is one step of process A, B one of B.";
}

function show(s) {
  const before = now;
  if (before && s.seq <= before.seq) return; // it came by another way, and sooner
  now = s;
  if (!s.code) { // there are no processes
    fail(s.failed || "there are no processes");
    return;
  }
  if (s.failed) fail(s.failed);
  for (const b of document.querySelectorAll("#programs button")) b.setAttribute("aria-pressed", b.dataset.program === s.program);
  $("task").textContent = task(s);
  s.procs.forEach((p, i) => showProcess(p, before && before.procs && before.procs[i], s));
  showMemory(s, before && before.memory ? before : null);
  showNumbers(s);
  showHistory(s);
  showOrders(s);
  $("lockword").textContent = s.locked ? "take the lock away" : "put the lock on";
  document.querySelector("[data-key=k]").disabled = !s.holder;
  $("engine").textContent = s.engine === "cpu"
    ? "Each step is one machine instruction of a real process, by ptrace. Grey lines and what is called go at full speed."
    : "Each step is one operation of a real process, which asks a semaphore in the shared memory before it. (Not by machine instruction: " + s.why + ".)";
  $("honest").textContent = s.honest;
  const hash = new URLSearchParams({ prog: s.program, sched: s.schedule }).toString();
  history.replaceState(null, "", "#" + hash);
}

// What the address asks for is played first, unless it has been.
let asked = new URLSearchParams(location.hash.slice(1));

const events = new EventSource("events");
events.onmessage = (e) => {
  const s = JSON.parse(e.data);
  const want = asked;
  asked = null;
  show(s);
  if (want && want.get("sched") && (want.get("sched") !== s.schedule || want.get("prog") !== s.program)) {
    later(() => replay(want.get("prog") || "plain", want.get("sched"), true));
  }
};
events.onerror = () => fail("Nobody answers: stress demo -web has ended, or is starting. Its processes have ended with it.");
events.onopen = () => fail("");
