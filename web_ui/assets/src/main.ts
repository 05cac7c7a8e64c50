import "htmx.org";
import "./main.scss";
import { keptImages, localTimes, themeButton } from "./controls";
import { readingForms } from "./upload";

themeButton();
localTimes(document);
keptImages();
readingForms();
document.body.addEventListener("htmx:afterSwap", () => localTimes(document));
