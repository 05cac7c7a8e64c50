// The forms for each call of the API, from its own OpenAPI document.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./console.scss";

const root = document.querySelector<HTMLElement>("#api-console");
if (root) {
  SwaggerUI({
    url: root.dataset["openapi"],
    domNode: root,
    // The validator's badge would ask another host.
    validatorUrl: null,
    deepLinking: false,
    // A request with the session's cookie has to carry the session's token, too.
    requestInterceptor: (request: { headers: Record<string, string> }) => {
      request.headers["X-CSRF-Token"] = root.dataset["csrf"] ?? "";
      return request;
    },
    // The colours of its highlighting are too faint for its ground.
    syntaxHighlight: false,
    defaultModelsExpandDepth: -1,
  });
}
