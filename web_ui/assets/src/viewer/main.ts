// The entry of a reading's page. The image stands there already; the viewer, which is large, comes
// after it, and where it cannot run the image stays as it is.

const root = document.querySelector<HTMLElement>("[data-viewer]");
const image = root?.querySelector<HTMLImageElement>("[data-kept-image]");

if (root && image) {
  Promise.all([import("./viewer"), image.decode()])
    .then(([{ open }]) => open(root, image))
    .catch(() => {
      root.dataset["viewer"] = "plain";
    });
}
