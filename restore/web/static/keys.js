/** Single keys do what buttons do, except where text is typed. */

/**
 * @param {() => unknown} isOpen Whether there is a photograph.
 * @param {Record<string, () => void>} actions By key; `undo` and `redo` by Ctrl or Cmd.
 */
export function listenToKeys(isOpen, actions) {
  addEventListener("keydown", (event) => {
    const typing = event.target.matches?.(
      "input:not([type=range], [type=radio], [type=checkbox]), select",
    );
    if (typing || !isOpen()) return;
    const key = event.key.toLowerCase();
    let action = actions[key];
    if (event.ctrlKey || event.metaKey) {
      action = key === "y" || (key === "z" && event.shiftKey) ? actions.redo : null;
      if (key === "z" && !event.shiftKey) action = actions.undo;
    }
    const movesSlider = event.target.matches?.("input[type=range]") && "+-=01".includes(key);
    if (!action || event.altKey || movesSlider || key === "undo" || key === "redo") return;
    event.preventDefault();
    action();
  });
}
