// Ctrl+Enter (or Cmd+Enter) presses the Run button of the tab that is shown.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const button = [...document.querySelectorAll("button.run, .run button")].find((one) => one.offsetParent && !one.disabled);
  if (button) { event.preventDefault(); button.click(); }
});
