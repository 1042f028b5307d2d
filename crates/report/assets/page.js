"use strict";
(() => {
  const policy = self.trustedTypes
    ? trustedTypes.createPolicy("unpacked", { createHTML: (text) => text })
    : { createHTML: (text) => text };
  const byId = (id) => document.getElementById(id);
  const transcript = byId("transcript");
  const canUnpack = typeof DecompressionStream === "function";
  const parts = [...transcript.querySelectorAll(":scope > .part")].map((element) => {
    const data = element.dataset;
    const packed = element.querySelector(":scope > script");
    if (packed && canUnpack) element.style.minHeight = `${data.steps * 270}px`;
    return { element, packed, first: +data.first, last: +data.last, from: +data.from, to: +data.to };
  });
  let folded = null;

  async function unpack(part) {
    const bytes = Uint8Array.from(atob(part.packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return policy.createHTML(await new Response(stream).text());
  }

  function show(part) {
    if (!part.packed || !canUnpack) return Promise.resolve();
    part.shown ??= unpack(part).then((html) => {
      part.element.innerHTML = html;
      part.element.style.minHeight = "";
      part.packed = null;
      if (folded !== null) fold(part.element);
    });
    return part.shown;
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        show(parts.find((part) => part.element === entry.target));
      }
    },
    { rootMargin: "2000px 0px" },
  );
  for (const part of parts) if (part.packed) near.observe(part.element);

  function fold(below) {
    for (const step of below.querySelectorAll(".step > details")) step.open = !folded;
  }
  for (const [id, how] of [["fold", true], ["unfold", false]]) {
    byId(id).addEventListener("click", () => {
      folded = how;
      for (const part of parts) fold(part.element);
    });
  }

  function reveal(element) {
    for (let above = element; above; above = above.parentElement) if (above.localName === "details") above.open = true;
  }

  // Steps are laid out when they come near, and then the place moves: look again until it rests.
  function scrollTo(element, block) {
    reveal(element);
    let looks = 0;
    const look = () => {
      element.scrollIntoView({ block });
      if (++looks < 4) requestAnimationFrame(look);
    };
    look();
  }

  let here = null;
  async function go(hash) {
    const [, kind, digits] = /^#([ets])(\d+)$/.exec(hash) ?? [];
    if (!kind) return;
    const number = +digits;
    const inside = (part) => (kind === "t" ? part.from <= number && number <= part.to : part.first <= number && number <= part.last);
    const part = parts.find(inside);
    if (!part) return;
    await show(part);
    let element = byId(hash.slice(1));
    if (!element && kind === "e") {
      // An event that has no place of its own belongs to the one before it.
      for (const event of part.element.querySelectorAll("[id^=e]")) if (+event.id.slice(1) <= number) element = event;
    }
    if (!element) return;
    here?.classList.remove("here");
    here = element;
    here.classList.add("here");
    scrollTo(element, "start");
  }
  addEventListener("hashchange", () => go(location.hash));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) go(link.hash);
  });
  if (location.hash) go(location.hash);

  const query = byId("query");
  const found = byId("found");
  let matches = [];
  let place = -1;
  let search = 0;
  const pause = () => new Promise((resume) => setTimeout(resume));

  function say() {
    found.textContent = matches.length ? `${place + 1} of ${matches.length}` : query.value ? "none" : "";
  }

  async function find() {
    const mine = ++search;
    const words = query.value.toLowerCase();
    matches = [];
    place = -1;
    CSS.highlights?.clear();
    if (words.length < 2) return say();
    let slice = performance.now();
    for (const part of parts) {
      let root = part.element;
      if (part.packed && canUnpack) {
        const template = document.createElement("template");
        template.innerHTML = await unpack(part);
        root = template.content;
      }
      for (const event of root.querySelectorAll(".ev")) {
        if (event.textContent.toLowerCase().includes(words)) matches.push({ part, id: event.id });
      }
      if (performance.now() - slice > 12) {
        found.textContent = `${matches.length}…`;
        await pause();
        slice = performance.now();
      }
      if (mine !== search) return;
    }
    await step(1);
  }

  async function step(by) {
    if (!matches.length) return say();
    place = (place + by + matches.length) % matches.length;
    say();
    const match = matches[place];
    await show(match.part);
    const event = byId(match.id);
    const words = query.value.toLowerCase();
    const ranges = [];
    const texts = document.createTreeWalker(event, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.data.toLowerCase();
      for (let at = text.indexOf(words); at >= 0 && ranges.length < 500; at = text.indexOf(words, at + words.length)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, at);
        range.setEnd(texts.currentNode, Math.min(at + words.length, texts.currentNode.data.length));
        ranges.push(range);
      }
    }
    if (ranges.length) reveal(ranges[0].startContainer.parentElement);
    if (typeof Highlight === "function") CSS.highlights.set("found", new Highlight(...ranges));
    scrollTo(ranges[0]?.startContainer.parentElement ?? event, "center");
  }

  let typing = 0;
  query.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, 200);
  });
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  });
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  transcript.querySelector(".tools").hidden = false;
})();
