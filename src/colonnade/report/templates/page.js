"use strict";
(() => {
  const choose = document.querySelector(".choose");
  if (choose) {
    const buttons = [...choose.querySelectorAll("button")];
    const figures = [...document.querySelectorAll("#pictures figure")];
    // one region's histograms, or one histogram in all regions
    const show = (pressed) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
      const { key, value } = pressed.dataset;
      const other = key === "region" ? "histogram" : "region";
      for (const figure of figures) {
        figure.hidden = figure.dataset[key] !== value;
        const caption = figure.querySelector("figcaption");
        const named = buttons.find((b) => b.dataset.key === other && b.dataset.value === figure.dataset[other]);
        if (caption && named) caption.textContent = named.textContent;
      }
    };
    choose.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) show(button);
    });
    choose.hidden = false;
    if (buttons.length) show(buttons[0]);
  }

  const dialog = document.getElementById("enlarged");
  document.addEventListener("click", (event) => {
    const picture = event.target.closest(".picture");
    if (!picture) return;
    const image = picture.querySelector("img");
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("img").alt = image.alt;
    dialog.querySelector("p").textContent = image.alt;
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest(".close") || event.target.tagName === "IMG") dialog.close();
  });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  if ("IntersectionObserver" in window) {
    const seen = new Set();
    const observer = new IntersectionObserver((entries) => {
        for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id);
        const first = [...links.keys()].find((id) => seen.has(id));
        for (const [id, link] of links) link.classList.toggle("here", id === first);
      }, { rootMargin: "-10% 0px -60% 0px" });
    for (const section of document.querySelectorAll("main > section")) observer.observe(section);
  }
})();
