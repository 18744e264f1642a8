// What the page shows, and when it asks for it.

const seen = { plan: null, route: null, live: null, fields: [], before: null, abort: null, shown: [] };

class KeyWanted extends Error {}

/** Asks this server, with the key of this tab. */
async function ask(path, options = {}) {
  const key = sessionStorage.getItem("corn-key");
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) throw new KeyWanted(key ? "The server does not know this key." : "This server wants a key. It is kept for this tab only.");
  return response;
}

function askForKey(why) {
  if (byId("key-dialog").open) return;
  byId("key-why").textContent = why;
  byId("key").value = "";
  byId("key-dialog").showModal();
}

function showState(word, kind) {
  byId("state").textContent = word;
  byId("state").className = `pill ${kind}`;
}

function showProblem(text) {
  byId("problem").hidden = !text;
  byId("problem").textContent = text ?? "";
}

// ---- the plan

function routeName({ graph, route }) {
  return graph === route ? graph : `${graph} · ${route}`;
}

function showPlan(plan) {
  seen.plan = plan;
  document.title = `${plan.name} · Corn`;
  byId("name").textContent = plan.name;
  byId("route").replaceChildren(...plan.routes.map((route, index) => el("option", { value: index }, routeName(route))));
  const chosen = plan.routes.findIndex((route) => routeName(route) === decodeURIComponent(location.hash.slice(1)));
  byId("route").value = Math.max(0, chosen);
  showRoute();
}

function showRoute() {
  const route = seen.plan.routes[byId("route").value];
  if (!route) return;
  seen.route = route;
  history.replaceState(null, "", `#${encodeURIComponent(routeName(route))}`);
  const types = new Map([...route.inputs, ...route.outputs].map((it) => [it.name, it.type.text]));
  for (const flow of route.flows) for (const node of flow.nodes) if (node.kind === "input" || node.kind === "output") node.type = types.get(node.label);
  byId("flow-field").hidden = route.flows.length < 2;
  byId("flow").replaceChildren(...route.flows.map((flow, index) => el("option", { value: index }, flow.signature)));
  const largest = Math.max(...route.flows.map((flow) => flow.nodes.length));
  byId("flow").value = route.flows.findIndex((flow) => flow.nodes.length === largest);
  showFlow();
  seen.fields = route.inputs.map((input) => fieldOf(input, showCode));
  const empty = el("p", { class: "faint" }, "This route takes nothing.");
  byId("fields").replaceChildren(...(seen.fields.length ? seen.fields.map((field) => field.element) : [empty]));
  showCode();
}

function showFlow() {
  const flow = seen.route.flows[byId("flow").value];
  seen.live = drawGraph(byId("graph"), seen.plan, flow, byId("fit").checked);
  drawLegend(byId("legend"), flow);
  if (seen.before) showLive(seen.before, seen.before);
}

// ---- what happens now

/** What each component has done, over all its workers. */
function componentsOf(status) {
  const all = seen.plan.components.map(() => ({ open: 0, ended: 0, failed: 0, items: 0, busy_us: 0, audio_us: 0, batches: 0, batched_calls: 0 }));
  for (const worker of status.engine?.workers ?? []) {
    for (const work of worker.work.components) for (const name of Object.keys(all[0])) all[work.component][name] += work[name];
  }
  return all;
}

function edgesOf(status) {
  const edges = new Map();
  for (const worker of status.engine?.workers ?? []) {
    for (const { from, to, transport, items, bytes: carried } of worker.work.edges) {
      const edge = edges.get(`${from} ${to} ${transport}`) ?? { from, to, transport, items: 0, bytes: 0 };
      edge.items += items;
      edge.bytes += carried;
      edges.set(`${from} ${to} ${transport}`, edge);
    }
  }
  return edges;
}

function showLive(before, now) {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const rate = (after, earlier) => Math.max(0, after - (earlier ?? 0)) / seconds;
  const [was, is] = [componentsOf(before), componentsOf(now)];
  const works = is.map((it, index) => ({
    ...it,
    calls: rate(it.ended + it.failed, was[index].ended + was[index].failed),
    busy: rate(it.busy_us, was[index].busy_us) / 1e6,
    made: rate(it.items, was[index].items),
  }));
  showTotals(now, rate(now.engine?.submitted ?? 0, before.engine?.submitted), works);
  showRoutes(before, now, rate);
  showComponents(works, now.lacking);
  showEdges(edgesOf(before), edgesOf(now), rate);
  showWorkers(now);
}

function showTotals(now, arrivals, works) {
  const failed = works.reduce((sum, work) => sum + work.failed, 0);
  const totals = [["in flight", `${now.engine?.in_flight ?? 0} of ${seen.plan.inflight}`], ["waiting", now.engine?.waiting ?? 0],
    ["requests", perSecond(arrivals)], ["since the start", (now.engine?.submitted ?? 0).toLocaleString("en")], ["failed calls", failed]];
  byId("totals").replaceChildren(...totals.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
  if (now.ready) showState("ready", "good");
  else showState(now.engine ? `lacks ${cut(now.lacking.join(", "), 40)}` : "loading", now.engine ? "bad" : "");
  byId("about").textContent = `Corn ${now.version}, plan ${now.hash}`;
}

function showComponents(works, lacking) {
  for (const { component, group, figures, where } of seen.live?.nodes ?? []) {
    const work = works[component];
    figures.textContent = `${where} · ${perSecond(work.calls)} · ${work.open} open`;
    group.classList.toggle("busy", work.open > 0 || work.busy > 0.02);
    group.classList.toggle("lacking", lacking.includes(seen.plan.components[component].name));
  }
  const columns = [["component"], ["runs"], ["on"], ["open", 1], ["calls", 1], ["items", 1], ["busy", 1], ["batch", 1], ["× real time", 1], ["ended", 1], ["failed", 1]];
  fillTable(byId("components"), columns, works.map((work, index) => {
    const component = seen.plan.components[index];
    const batch = work.batches ? `${short(work.batched_calls / work.batches)} of ${component.batch}` : `– of ${component.batch}`;
    const sound = work.audio_us && work.busy_us ? short(work.audio_us / work.busy_us) : "–";
    return [component.name, `${component.executor} ${component.entry}`, component.workers.map((it) => `w${it}`).join(" "), work.open, perSecond(work.calls),
      perSecond(work.made), `${Math.round(work.busy * 100)} %`, batch, sound, work.ended.toLocaleString("en"), work.failed];
  }));
}

/** How requests of each route fare; the plan has them in the same order. */
function showRoutes(before, now, rate) {
  const ended = (it) => (it ? it.ok + it.failed + it.gone : 0);
  const percentile = (us) => (us === null ? "–" : time(us / 1000));
  const rows = seen.plan.routes.map((route, index) => {
    const [was, is] = [before.routes?.[index], now.routes?.[index]];
    if (!is) return [routeName(route)];
    return [routeName(route), is.in_flight, perSecond(rate(ended(is), ended(was))), perSecond(rate(is.failed, was?.failed)), percentile(is.p50_first_us),
      percentile(is.p50_answer_us), is.ok.toLocaleString("en"), is.failed.toLocaleString("en"), is.gone.toLocaleString("en")];
  });
  const columns = [["route"], ["in flight", 1], ["requests", 1], ["errors", 1], ["p50 first", 1], ["p50 answer", 1], ["answered", 1], ["failed", 1], ["given up", 1]];
  fillTable(byId("routes"), columns, rows);
}

function showEdges(before, now, rate) {
  const stage = (id) => seen.plan.stages[id].join(", ");
  const rows = [...now].map(([id, edge]) => [`${stage(edge.from)} → ${stage(edge.to)}`, edge.transport, perSecond(rate(edge.items, before.get(id)?.items)),
    bytesPerSecond(rate(edge.bytes, before.get(id)?.bytes)), edge.items.toLocaleString("en"), bytes(edge.bytes)]);
  byId("edges-section").hidden = !rows.length;
  fillTable(byId("edges"), [["from → to"], ["by"], ["hand-overs", 1], ["bytes", 1], ["hand-overs so far", 1], ["bytes so far", 1]], rows);
  for (const { edge, label } of seen.live?.edges ?? []) {
    const [from, to] = edge.stages;
    const of = [...now].filter(([, it]) => it.from === from && it.to === to);
    const items = of.reduce((sum, [id, it]) => sum + rate(it.items, before.get(id)?.items), 0);
    const by = of.map(([, it]) => it.transport).join(" ") || edge.transport || "";
    label.textContent = items ? `${by} ${perSecond(items)}` : by;
  }
}

const bytesPerSecond = (value) => `${bytes(value)}/s`;

function showWorkers(now) {
  const columns = [["worker"], ["is"], ["host"], ["components"], ["process", 1], ["restarts", 1], ["holds", 1], ["leases", 1], ["arena", 1], ["copied", 1]];
  fillTable(byId("workers"), columns, (now.engine?.workers ?? []).map((worker) => [`w${worker.worker}`, standing(worker.standing), worker.host ?? "–",
    cut(worker.components.join(", "), 60), worker.pid ?? "–", worker.restarts, bytes(worker.bytes), worker.leases, bytes(worker.arena_bytes), bytes(worker.copied_bytes)]));
}

function standing(it) {
  if (typeof it === "string") return it.toLowerCase();
  const [[word, more]] = Object.entries(it);
  if (typeof more === "string") return `${word.toLowerCase()}: ${more}`;
  return more.what ? `${word.toLowerCase()} ${more.what}` : word.toLowerCase();
}

async function look() {
  try {
    const status = await (await ask("/corn/v1/status")).json();
    status.at = performance.now();
    if (seen.plan?.hash !== status.hash) {
      seen.before = null;
      showPlan(await (await ask("/corn/v1/plan")).json());
    }
    showLive(seen.before ?? status, status);
    seen.before = status;
  } catch (error) {
    if (error instanceof KeyWanted) {
      showState("wants a key", "bad");
      askForKey(error.message);
      return;
    }
    showState("does not answer", "bad");
  }
}

// ---- asking

/** The body of a request; `asValue` says what stands for a file. */
async function bodyOf(asValue) {
  const { graph, route } = seen.route;
  const inputs = {};
  for (const field of seen.fields) {
    const value = await field.value(asValue);
    if (value !== undefined) inputs[field.name] = value;
  }
  return { graph, route, inputs, stream: true };
}

async function send() {
  seen.shown.forEach((it) => it.stop());
  seen.shown = [];
  showProblem(null);
  byId("answer").replaceChildren();
  const begun = performance.now();
  const abort = new AbortController();
  seen.abort = abort;
  byId("send").disabled = true;
  byId("stop").disabled = false;
  byId("took").textContent = "under way";
  try {
    const body = JSON.stringify(await bodyOf(mediumOf));
    const response = await ask("/corn/v1/infer", { method: "POST", headers: { "content-type": "application/json" }, body, signal: abort.signal });
    if (!response.ok) throw new Error(worded(await response.json(), response));
    await receive(response, begun);
  } catch (error) {
    byId("took").textContent = "";
    if (error instanceof KeyWanted) askForKey(error.message);
    else if (error.name === "AbortError") byId("took").textContent = `aborted after ${time(performance.now() - begun)}`;
    else showProblem(error.message);
  } finally {
    seen.shown.forEach((it) => it.end());
    byId("send").disabled = false;
    byId("stop").disabled = true;
  }
}

function worded({ error }, response) {
  return `${error.message}\n${[response.status, error.code, response.headers.get("x-request-id")].filter(Boolean).join(" · ")}`;
}

async function receive(response, begun) {
  const outputs = new Map();
  let first = null;
  let items = 0;
  let paused = begun;
  for await (const [name, said] of eventsOf(response.body)) {
    if (performance.now() - paused > 30) {
      // A fast answer leaves the page time to draw and to hear that it is aborted.
      await new Promise((resolve) => setTimeout(resolve));
      paused = performance.now();
    }
    if (name === "started") {
      for (const output of said.outputs) outputs.set(output, new Shown(seen.route.outputs.find((it) => it.name === output), byId("answer")));
      seen.shown = [...outputs.values()];
    } else if (name === "item") {
      first ??= performance.now() - begun;
      items += 1;
      outputs.get(said.output).item(said.value);
    } else if (name === "error") {
      throw new Error(worded(said, response));
    } else if (name === "done") {
      byId("took").textContent = `first after ${time(first ?? 0)}, all ${items} after ${time(performance.now() - begun)}`;
      return;
    }
  }
  throw new Error("The answer broke off.");
}

// ---- begin

byId("route").addEventListener("change", showRoute);
byId("flow").addEventListener("change", showFlow);
byId("fit").addEventListener("change", showFlow);
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!byId("send").disabled) send();
});
byId("stop").addEventListener("click", () => {
  seen.abort?.abort();
  seen.shown.forEach((it) => it.stop());
});
byId("key-button").addEventListener("click", () => askForKey("Requests from this tab bring this key. It is kept for this tab only; leave it empty to bring none."));
byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
byId("key-form").addEventListener("submit", () => {
  if (byId("key").value) sessionStorage.setItem("corn-key", byId("key").value);
  else sessionStorage.removeItem("corn-key");
  look().then(showCode);
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
setInterval(() => {
  if (!document.hidden && !byId("key-dialog").open) look();
}, 1000);
look();
