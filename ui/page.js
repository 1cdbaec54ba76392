// What Gradio has no word for: screen readers are told the page's own language, Ctrl+Enter runs, a picture dropped on the
// Generate tab restores its settings, example photos have names for those who can't see them, a result is marked once its
// photo is no longer there, a result that is asked for comes into view, a model's name is chosen whole where another can be
// typed, a photo whose kind the browser can't tell is taken all the same, a reload comes back to the tab that was open, and
// each window keeps its own jobs, fields and conversation.
for (const name of ["getItem", "setItem"]) {
  const plain = Storage.prototype[name];
  Storage.prototype[name] = function (key, ...value) {
    const ours = this === localStorage && /^quartet-(?!owner)/.test(key);
    return plain.call(ours ? sessionStorage : this, key, ...value);
  };
}

const visible = (selector) => [...document.querySelectorAll(selector)].find((one) => one.offsetParent);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const button = visible("button.run:not(:disabled)");
  if (button) { event.preventDefault(); button.click(); }
});

document.addEventListener("click", (event) => {
  if (!event.target.closest("button.run, .examples button")) return;
  const card = visible(".card"), top = card?.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight - 200) card.scrollIntoView({ behavior: "smooth", block: "start" });
});

document.addEventListener("focusin", (event) => event.target.closest("[id$=-model] input")?.select());

const hand = (input, file) => {
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
document.addEventListener("drop", (event) => {  // Gradio goes by the kind that the browser tells; the server by content
  const input = event.target.closest?.("[id$=-photo]")?.querySelector("input[type=file]");
  const file = event.dataTransfer?.files[0];
  if (!input || !file || file.type) return;
  event.preventDefault();
  event.stopPropagation();
  hand(input, new File([file], file.name, { type: "image/unknown" }));
}, true);

const restorable = (event) => {
  const tab = document.querySelector("#generate-tab");
  return tab?.offsetParent && event.dataTransfer?.types.includes("Files") ? tab : null;
};
document.addEventListener("dragover", (event) => {
  const tab = restorable(event);
  if (tab) { event.preventDefault(); tab.classList.add("dropping"); }
});
document.addEventListener("dragleave", () => document.querySelector("#generate-tab")?.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  const tab = restorable(event);
  if (!tab) return;
  event.preventDefault();
  tab.classList.remove("dropping");
  hand(tab.querySelector("#generate-restore input[type=file]"), event.dataTransfer.files[0]);
});

let openBefore = sessionStorage.getItem("quartet-tab");  // of this window
addEventListener("pagehide", () => {
  const open = document.querySelector("#tabs [role=tab][aria-selected=true]");
  if (open) sessionStorage.setItem("quartet-tab", open.id);
});

new MutationObserver(() => {
  const tab = openBefore && document.getElementById(openBefore);
  if (tab) { openBefore = null; tab.click(); }
  const language = document.querySelector("#header h1")?.lang;  // Gradio takes the browser's
  if (language && document.documentElement.lang !== language) document.documentElement.lang = language;
  for (const image of document.querySelectorAll(".examples button:not([aria-label]) img")) {
    image.closest("button").ariaLabel = decodeURIComponent(image.src).split("/").pop().replace(/\.\w+$/, "");
  }
  for (const image of document.querySelectorAll("[id$=-photo] img[alt='']")) {
    image.alt = image.closest("[id$=-photo]").querySelector("[data-testid=block-label]")?.textContent.trim() ?? "";
  }
  for (const old of document.querySelectorAll("[data-photo]")) {
    const photo = old.closest("[role=tabpanel]").querySelector("[id$=-photo] img");
    old.closest(".card").classList.toggle("stale", !photo?.src.includes(`/${old.dataset.photo}/`));
  }
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
