// The live page in a notebook's cell: it shows the page in a frame, and passes messages between the frame and Python.
// anywidget loads this file; the page's part of it is linked.js, Python's is live.py.

function frameOf(model) {
  const frame = document.createElement("iframe");
  frame.title = "Backpropagation";
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.allow = "clipboard-write";
  Object.assign(frame.style, { width: "100%", height: `${model.get("height")}px`, border: "0" });
  frame.srcdoc = model.get("html");
  return frame;
}

/** text: HTML, as Python writes it for any notebook. */
function folded(text) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "as text";
  details.append(summary, ...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  return details;
}

/** Connects a frame with Python; returns what ends that. */
function link(model, frame) {
  const view = Math.random().toString(36).slice(2);
  let shown = ""; // the element that the page shows as chosen

  const toPage = (message) => frame.contentWindow?.postMessage(message, "*");

  function choose() {
    const [name, at] = model.get("chosen");
    if (JSON.stringify([name, at]) === shown) return;
    shown = JSON.stringify([name, at]);
    toPage({ kind: "choose", name, at });
  }

  function fromPage({ source, data }) {
    if (source !== frame.contentWindow) return;
    if (data.kind === "chosen") {
      shown = JSON.stringify([data.name, data.at]);
      model.set("chosen", [data.name, data.at]);
      model.save_changes();
      return;
    }
    if (data.kind === "ready") {
      shown = "";
      choose();
    }
    model.send({ ...data, view });
  }

  const fromPython = (message) => {
    if (message.view === view) toPage(message);
  };
  const resize = () => Object.assign(frame.style, { height: `${model.get("height")}px` });

  addEventListener("message", fromPage);
  model.on("msg:custom", fromPython);
  model.on("change:chosen", choose);
  model.on("change:height", resize);
  return () => {
    removeEventListener("message", fromPage);
    model.off("msg:custom", fromPython);
    model.off("change:chosen", choose);
    model.off("change:height", resize);
    model.send({ kind: "gone", view });
  };
}

export default {
  render({ model, el }) {
    const frame = frameOf(model);
    const unlink = link(model, frame);
    el.append(frame);
    if (model.get("text")) el.append(folded(model.get("text")));
    return unlink;
  },
};
