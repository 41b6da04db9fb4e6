// What an auditor of pages looks for, found in the page as it stands; one line for each fault.
const faults = [];
const fault = (rule, element, more = "") =>
  faults.push(`${rule}: ${element.outerHTML?.slice(0, 120) ?? element} ${more}`.trim());
const all = (selector) => [...document.querySelectorAll(selector)];
const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });

// The document.
if (document.compatMode !== "CSS1Compat") faults.push("quirks mode");
if (!document.documentElement.lang) faults.push("no language");
if (!document.title.trim()) faults.push("no title");
if (!document.querySelector("meta[name=description]")?.content) faults.push("no description");
const viewport = document.querySelector("meta[name=viewport]")?.content ?? "";
if (!viewport.includes("width=device-width")) faults.push("no viewport");
if (/user-scalable=no|maximum-scale/.test(viewport)) faults.push("no zoom");
if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than ${innerWidth} px`);

// Structure.
if (all("main").length !== 1) faults.push("not one <main>");
const ids = all("[id]").map((element) => element.id);
for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) !== place))) faults.push(`two #${id}`);
let level = 0;
for (const heading of all("h1, h2, h3, h4, h5, h6").filter(seen)) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) fault("a heading's level is left out", heading);
  level = next;
}
for (const list of all("ul, ol")) {
  for (const item of list.children) if (item.tagName !== "LI") fault("no item of a list", item);
}
for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
  for (const element of all(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(/\s+/)) {
      if (!document.getElementById(id)) fault(`${attribute} of nothing`, element);
    }
  }
}

// Names: whatever can be used says what it is.
const named = (element) =>
  [
    element.getAttribute("aria-label"),
    ...(element.getAttribute("aria-labelledby") ?? "").split(/\s+/).map((id) => document.getElementById(id)?.textContent),
    ...[...(element.labels ?? [])].map((label) => label.textContent),
    element.innerText,
    element.querySelector("img[alt]")?.alt,
    element.title,
  ].some((name) => name?.trim());
for (const element of all("button, a[href], input:not([type=hidden]), select, textarea, summary, [role=button]")) {
  if (seen(element) && !named(element)) fault("no name", element);
}
for (const image of all("img")) if (!image.hasAttribute("alt")) fault("no text instead", image);
for (const canvas of all("canvas")) {
  if (seen(canvas) && !named(canvas) && canvas.getAttribute("aria-hidden") !== "true") fault("no text instead", canvas);
}
for (const element of all("[tabindex]")) if (element.tabIndex > 0) fault("an order of its own", element);
for (const element of all("[aria-hidden=true]")) {
  const inside = [element, ...element.querySelectorAll("button, a[href], input, [tabindex]")];
  if (inside.some((one) => one.tabIndex >= 0 && seen(one))) fault("hidden, and takes the focus", element);
}

// Targets a finger hits: 24 px either way (WCAG 2.2, 2.5.8), but for links in running text.
for (const element of all("button, summary, select, input:not([type=range])")) {
  const { width, height } = element.getBoundingClientRect();
  if (seen(element) && width > 1 && (width < 24 || height < 24)) fault("a small target", element, `${width} x ${height}`);
}

// Contrast: 4.5 to 1, large letters 3 to 1 (WCAG 1.4.3). Colours are painted to be read.
const brush = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
  willReadFrequently: true,
});
const over = (below, colour) => {
  brush.fillStyle = `rgb(${below.join(" ")})`;
  brush.fillRect(0, 0, 1, 1);
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  return [...brush.getImageData(0, 0, 1, 1).data.slice(0, 3)];
};
const ground = (element) => {
  const below = element.parentElement ? ground(element.parentElement) : [255, 255, 255];
  return over(below, getComputedStyle(element).backgroundColor);
};
const luminance = (colour) => {
  const [r, g, b] = colour.map((v) => ((v / 255 + 0.055) / 1.055) ** 2.4).map((v, i) => (colour[i] > 10 ? v : colour[i] / 255 / 12.92));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = texts.nextNode(); text; text = texts.nextNode()) {
  const element = text.parentElement;
  if (!text.data.trim() || !seen(element) || element.closest(":disabled, [aria-disabled=true], script, noscript, [aria-hidden=true]")) continue;
  const box = element.getBoundingClientRect();
  if (box.width <= 1 || box.height <= 1) continue;
  const style = getComputedStyle(element);
  const below = ground(element);
  const [light, dark] = [luminance(below), luminance(over(below, style.color))].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
  if (ratio < least) fault("little contrast", element, ratio.toFixed(2));
}
return [...new Set(faults)];
