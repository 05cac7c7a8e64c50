import "htmx.org";
import "./main.scss";
import { keptImages, localTimes, themeButton } from "./controls";
import { heatmaps } from "./heatmap";
import { handOver, readingForms } from "./upload";

themeButton();
localTimes(document);
keptImages();
readingForms();
handOver();
heatmaps();
document.body.addEventListener("htmx:afterSwap", () => localTimes(document));
