"use strict";
(function () {
  const root = document.documentElement;
  root.classList.add("js");

  function redraw(figure, plot) {
    figure.querySelector(".name").textContent = plot.name;
    figure.querySelector(".unit").textContent = plot.unit;
    const svg = figure.querySelector("svg");
    const ticks = svg.querySelector(".ticks");
    const marks = svg.querySelectorAll("g:not(.ticks)");
    const height = marks.length * 26;
    const make = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    ticks.replaceChildren(...plot.ticks.flatMap(([x, text]) => {
      const label = make("text", { x: x + "%", y: height + 15 });
      label.textContent = text;
      return [make("line", { x1: x + "%", x2: x + "%", y1: 0, y2: height }), label];
    }));
    const values = figure.querySelectorAll(".values li");
    plot.marks.forEach(([x, low, high, text], index) => {
      const mark = marks[index];
      mark.classList.toggle("off", x === null);
      mark.querySelector("circle").setAttribute("cx", (x ?? 0) + "%");
      const line = mark.querySelector("line");
      line.setAttribute("x1", (low ?? 0) + "%");
      line.setAttribute("x2", (high ?? 0) + "%");
      values[index].textContent = text;
      values[index].classList.toggle("none", x === null);
    });
  }

  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    const details = target.closest("details");
    if (details) details.open = true;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const show = (radio) => {
      root.dataset.view = radio.value;
      for (const figure of document.querySelectorAll("figure[data-plot]")) {
        redraw(figure, data[figure.dataset.plot][radio.value]);
      }
    };
    const radios = [...document.querySelectorAll("input[name=view]")];
    for (const radio of radios) radio.addEventListener("change", () => show(radio));
    // A browser that restores a form after reloading restores the choice, but sends no event.
    const chosen = radios.find((radio) => radio.checked);
    if (chosen && chosen.value !== root.dataset.view) show(chosen);

    const all = document.getElementById("all");
    all.addEventListener("click", () => {
      const open = all.getAttribute("aria-expanded") !== "true";
      for (const details of document.querySelectorAll("details")) details.open = open;
      all.setAttribute("aria-expanded", String(open));
      all.textContent = open ? "Collapse all details" : "Expand all details";
    });

    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#c']");
      const details = link && document.getElementById(link.getAttribute("href").slice(1));
      if (details instanceof HTMLDetailsElement) {
        details.open = true;
        // Following the link takes the focus away again, after this handler.
        setTimeout(() => details.querySelector("summary").focus({ preventScroll: true }));
      }
    });
    addEventListener("hashchange", reveal);
    reveal();
  });
})();
