import "htmx.org";
import "./main.scss";
import { keptImages, localTimes, themeButton } from "./controls";
import { heatmaps } from "./heatmap";
import { keyboard } from "./keys";
import { terms } from "./terms";
import { tour } from "./tour";
import { handOver, readingForms } from "./upload";

themeButton();
keyboard();
terms();
tour();
localTimes(document);
keptImages();
readingForms();
handOver();
heatmaps();
document.body.addEventListener("htmx:afterSwap", () => localTimes(document));
