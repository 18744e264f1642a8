// The graph of a route: laid out in layers from left to right, so that dozens of nodes stay apart.

const SIZES = { component: [190, 66], input: [172, 42], output: [172, 42], adaptor: [124, 32], bend: [0, 12] };
const GAP_X = 84;
const GAP_Y = 22;
const MARGIN = 14;

/** Edges whose direction is against the rest: those that close a circle. */
function backEdges(nodes, edges) {
  const state = new Map();
  const back = new Set();
  const next = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) next.get(edge.from).push(edge);
  const visit = (id) => {
    state.set(id, "open");
    for (const edge of next.get(id)) {
      if (state.get(edge.to) === "open") back.add(edge);
      else if (!state.has(edge.to)) visit(edge.to);
    }
    state.set(id, "done");
  };
  for (const node of nodes) if (!state.has(node.id)) visit(node.id);
  return back;
}

/** Each node's layer: behind all that it reads, and what has no reason to be early right before what reads it. */
function layersOf(nodes, edges) {
  const layer = new Map(nodes.map((node) => [node.id, 0]));
  for (let round = 0; round < nodes.length; round += 1) {
    let moved = false;
    for (const { from, to } of edges) {
      if (layer.get(to) <= layer.get(from)) {
        layer.set(to, layer.get(from) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  for (const node of nodes) {
    const readers = edges.filter((edge) => edge.from === node.id).map((edge) => layer.get(edge.to));
    if (!edges.some((edge) => edge.to === node.id) && readers.length) layer.set(node.id, Math.min(...readers) - 1);
  }
  return layer;
}

/** Places for nodes and ways for edges. */
function layOut(flow) {
  const back = backEdges(flow.nodes, flow.edges);
  const ahead = flow.edges.map((edge) => (back.has(edge) ? { from: edge.to, to: edge.from } : edge));
  const layer = layersOf(flow.nodes, ahead);
  const boxes = flow.nodes.map((node) => ({ id: node.id, kind: node.kind, layer: layer.get(node.id), near: [[], []] }));
  const byName = new Map(boxes.map((box) => [box.id, box]));
  const link = (one, other) => {
    one.near[1].push(other);
    other.near[0].push(one);
  };
  // An edge over several layers bends in each of them, so that it has a place of its own there.
  const ways = ahead.map((edge, index) => {
    const way = [byName.get(edge.from)];
    for (let at = way[0].layer + 1; at < byName.get(edge.to).layer; at += 1) {
      const bend = { id: `${index}/${at}`, kind: "bend", layer: at, near: [[], []] };
      boxes.push(bend);
      link(way.at(-1), bend);
      way.push(bend);
    }
    link(way.at(-1), byName.get(edge.to));
    way.push(byName.get(edge.to));
    return back.has(flow.edges[index]) ? way.reverse() : way;
  });
  const layers = [];
  for (const box of boxes) (layers[box.layer] ??= []).push(box);
  order(layers);
  place(layers);
  return { boxes: byName, ways, ...extent(boxes) };
}

const mean = (numbers) => numbers.reduce((sum, it) => sum + it, 0) / numbers.length;

/** Orders each layer by what it is joined to in the layer beside, back and forth. */
function order(layers) {
  const number = (layer) => layer.forEach((box, index) => (box.at = index));
  layers.forEach(number);
  for (let round = 0; round < 12; round += 1) {
    const side = round % 2;
    for (const layer of side ? [...layers].reverse() : layers) {
      for (const box of layer) box.want = box.near[side].length ? mean(box.near[side].map((it) => it.at)) : box.at;
      layer.sort((one, other) => one.want - other.want || one.at - other.at);
      number(layer);
    }
  }
}

function place(layers) {
  let x = MARGIN;
  for (const layer of layers) {
    const width = Math.max(...layer.map((box) => SIZES[box.kind][0]));
    let y = 0;
    for (const box of layer) {
      [box.width, box.height] = SIZES[box.kind];
      box.x = x + (width - box.width) / 2;
      box.y = y + box.height / 2;
      y += box.height + GAP_Y;
    }
    x += width + GAP_X;
  }
  for (let round = 0; round < 16; round += 1) {
    const side = round % 2;
    for (const layer of side ? [...layers].reverse() : layers) straighten(layer, round < 14 ? [side] : [0, 1]);
  }
}

/** Moves the boxes of a layer beside what they are joined to, as far as they do not meet. */
function straighten(layer, sides) {
  const want = layer.map((box) => {
    const near = sides.flatMap((side) => box.near[side]);
    return near.length ? mean(near.map((it) => it.y)) : box.y;
  });
  let free = -Infinity;
  layer.forEach((box, index) => {
    box.y = Math.max(want[index], free + box.height / 2);
    free = box.y + box.height / 2 + GAP_Y;
  });
  // They were only pushed down: as a whole they go back up.
  const shift = mean(layer.map((box, index) => want[index] - box.y));
  for (const box of layer) box.y += shift;
}

function extent(boxes) {
  const top = Math.min(...boxes.map((box) => box.y - box.height / 2)) - MARGIN;
  for (const box of boxes) box.y -= top;
  return {
    width: Math.max(...boxes.map((box) => box.x + box.width)) + MARGIN,
    height: Math.max(...boxes.map((box) => box.y + box.height / 2)) + MARGIN,
  };
}

/** A curve through the places of a way. */
function curve(way) {
  const first = way[0];
  const goesBack = first.x > way.at(-1).x;
  let x = goesBack ? first.x : first.x + first.width;
  let path = `M${x},${first.y}`;
  let { y } = first;
  way.slice(1).forEach((box) => {
    const to = goesBack ? box.x + box.width : box.x;
    const half = (x + to) / 2;
    path += ` C${half},${y} ${half},${box.y} ${to},${box.y}`;
    if (box.kind === "bend") return void ([x, y] = [to, box.y]);
    [x, y] = [to, box.y];
  });
  return path;
}

/** Draws `flow`; gives what live figures are written into. */
function drawGraph(into, plan, flow, isWhole) {
  const { boxes, ways, width, height } = layOut(flow);
  const scale = isWhole ? Math.min(1, Math.max(0.75, into.clientWidth / width)) : 1;
  const live = { nodes: [], edges: [] };
  const marker = svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, orient: "auto",
    markerUnits: "userSpaceOnUse" }, svg("path", { d: "M0,0 L8,4 L0,8 z", fill: "context-stroke" }));
  const root = svg("svg", { width: width * scale, height: height * scale, viewBox: `0 0 ${width} ${height}` }, svg("defs", {}, marker));
  const labels = svg("g");
  flow.edges.forEach((edge, index) => {
    const kinds = ["edge", edge.kind, edge.stream && "stream", edge.stages && "crosses"].filter(Boolean).join(" ");
    root.append(svg("path", { class: kinds, d: curve(ways[index]), "marker-end": "url(#tip)" }, svg("title", {}, edge.type)));
    if (!edge.stages) return;
    const way = ways[index];
    const [one, other] = [way[0], way[1]];
    const label = svg("text", { class: "carried", x: (one.x + one.width + other.x) / 2, y: (one.y + other.y) / 2 - 5 }, edge.transport ?? "");
    labels.append(label);
    live.edges.push({ edge, label });
  });
  for (const node of flow.nodes) root.append(drawNode(plan, node, boxes.get(node.id), live));
  root.append(labels);
  into.replaceChildren(root);
  return live;
}

function drawNode(plan, node, box, live) {
  const component = node.component === null ? null : plan.components[node.component];
  const group = svg("g", { class: `node ${node.kind}`, tabindex: 0, role: "img", transform: `translate(${box.x},${box.y - box.height / 2})` });
  const line = (y, name, text) => svg("text", { x: 11, y, class: name }, text);
  group.append(svg("rect", { width: box.width, height: box.height, rx: node.kind === "component" ? 8 : box.height / 2 }));
  const within = node.within.join(", ");
  let said = `${node.kind} ${node.label}`;
  if (component) {
    const where = component.workers.map((worker) => `w${worker}`).join(" ");
    const sub = `${component.executor} ${component.entry}`;
    const figures = line(56, "live", "");
    group.append(line(20, "", cut(node.label, 22)), line(38, "sub", cut(within || sub, 30)), figures);
    said += `, ${sub}, on ${where}`;
    live.nodes.push({ component: node.component, group, figures, where });
  } else if (node.kind === "adaptor") {
    group.append(svg("text", { x: box.width / 2, y: 21, "text-anchor": "middle", class: "sub" }, cut(node.label, 20)));
  } else {
    const type = (node.type ?? "").replace(/ (max|window) [^<>]+/g, "");
    group.append(svg("text", { x: 16, y: 18 }, cut(node.label, 18)), svg("text", { x: 16, y: 33, class: "sub" }, cut(type, 24)));
    said += `, ${type}`;
  }
  if (within) said += `, ${within}`;
  group.setAttribute("aria-label", said);
  group.prepend(svg("title", {}, said));
  return group;
}

/** What the colours and lines of edges mean, for those that there are. */
function drawLegend(into, flow) {
  const kinds = [...new Set(flow.edges.map((edge) => edge.kind))];
  const item = (name, text) => el("li", {}, svg("svg", { width: 34, height: 8, "aria-hidden": "true" },
    svg("path", { class: `edge ${name}`, d: "M0,4 H34" })), text);
  const items = kinds.map((kind) => item(kind, kind));
  if (flow.edges.some((edge) => edge.stream)) items.push(item("stream", "streamed"));
  if (flow.edges.some((edge) => edge.stages)) items.push(item("crosses", "between stages"));
  into.replaceChildren(...items);
}
