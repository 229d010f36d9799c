/** Photographs that are chosen, dropped or pasted. */

const at = (id) => document.getElementById(id);

/** Call `take` with the files that the user brings. */
export function onFiles(take) {
  for (const id of ["choose", "choose-big"]) at(id).addEventListener("click", () => at("files").click());
  at("files").addEventListener("change", () => {
    const files = [...at("files").files];
    at("files").value = "";
    take(files);
  });
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    depth++;
    at("drop").hidden = false;
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) at("drop").hidden = true;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    at("drop").hidden = true;
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) take(files);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
}
