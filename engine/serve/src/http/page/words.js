"use strict";
// Elements, and numbers as people read them.

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; texts stay texts. */
function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number with at most three figures that matter. */
function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(value < 1 ? 2 : 3)));
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${short(value)} ${units[unit]}`;
}

function time(ms) {
  if (ms < 1) return `${short(ms * 1000)} µs`;
  return ms < 1000 ? `${short(ms)} ms` : `${short(ms / 1000)} s`;
}

const perSecond = (value) => `${short(value)}/s`;

/** At most `most` letters. */
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** A table's content: columns are [name, whether it is a number]. */
function fillTable(table, columns, rows) {
  const cell = (tag, index, attributes, content) =>
    el(tag, { ...attributes, class: columns[index][1] ? "number" : null }, content);
  const head = el("tr", {}, ...columns.map(([name], index) => cell("th", index, { scope: "col" }, name)));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((it, index) => (index ? cell("td", index, {}, it) : cell("th", 0, { scope: "row" }, it)))));
  table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
}
