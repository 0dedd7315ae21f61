"""A page that shows the live page as a notebook does, with a model in place of Jupyter's."""

import base64
import json

from pybackprop.teach.page.html import part

NOTEBOOK = """<!doctype html><title>a notebook</title><div id="cell" style="width: 940px"></div><script type="module">
import widget from "data:text/javascript;base64,{script}";
const state = {state}, heard = new Map();
window.model = {{
  sent: [],
  get: (name) => state[name],
  set(name, value) {{
    const isNew = JSON.stringify(state[name]) !== JSON.stringify(value);
    state[name] = value;
    if (isNew) this.fire(`change:${{name}}`);
  }},
  save_changes() {{ this.sent.push({{ state: {{ chosen: state.chosen }} }}); }},
  send(message) {{ this.sent.push(JSON.parse(JSON.stringify(message))); }},
  on(name, handler) {{ heard.set(name, (heard.get(name) ?? new Set()).add(handler)); }},
  off(name, handler) {{ heard.get(name).delete(handler); }},
  fire(name, ...given) {{ for (const handler of heard.get(name) ?? []) handler(...given); }},
  listeners: () => [...heard.values()].reduce((sum, {{ size }}) => sum + size, 0),
}};
window.show = () => {{
  const el = document.createElement("div");
  document.getElementById("cell").append(el);
  const end = widget.render({{ model, el }});
  return () => {{ end(); el.remove(); }};
}};
window.ends = [show()];
</script>"""


class Notebook:
    """A cell with the live page of a weight, its frame, and both directions of its link."""

    def __init__(self, page, shown):
        self.page, self.shown, self.messages, self.queue = page, shown, [], []
        shown.send = self.queue.append
        state = {name: shown.get_state(name)[name] for name in ("html", "text", "height", "chosen")}
        script = base64.b64encode(part("widget.js").encode()).decode()
        page.count += 1
        path = page.folder / f"page{page.count}.html"
        text = NOTEBOOK.format(script=script, state=json.dumps(state).replace("<", "\\u003c"))
        path.write_text(text, encoding="utf-8")
        page.resize(1000, 900)
        page.driver.get(path.as_uri())
        page.until(lambda: self.outside("return window.model?.sent.length"))
        self.carry()
        page.driver.switch_to.frame(0)

    def outside(self, code, *arguments):
        """Runs code in the notebook, around the frame."""
        driver = self.page.driver
        inside = driver.execute_script("return window.parent !== window")
        driver.switch_to.default_content()
        found = driver.execute_script(code, *arguments)
        if inside:
            driver.switch_to.frame(0)
        return found

    def carry(self):
        """Carries messages from the page to Python, and from Python to the page; those that the page sent."""
        sent = self.outside("return model.sent.splice(0)")
        for message in sent:
            if "state" in message:
                self.shown.set_state(message["state"])
            else:
                self.shown._handle_custom_msg(message, [])
        self.messages += sent
        for message in self.queue:
            self.outside("model.fire('msg:custom', arguments[0], [])", json.loads(json.dumps(message)))
        self.queue.clear()
        return sent

    def until(self, condition):
        """Carries messages until the condition holds."""
        return self.page.until(lambda: self.carry() is not None and condition())

    def writes(self):
        return [message for message in self.messages if message.get("kind") == "write"]

    def status(self):
        return self.page.text("#linked")
