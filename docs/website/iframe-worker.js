// The search runs in a worker, and browsers start none for a page that was opened from a file. A frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.documentElement.append(this.frame)
      const inside = this.frame.contentWindow
      inside.document.open()
      inside.document.write("<!doctype html><title>worker</title><body></body>")
      inside.document.close()
      const load = (script) =>
        new Promise((loaded, failed) => {
          const element = inside.document.createElement("script")
          Object.assign(element, { src: script, onload: loaded, onerror: failed })
          inside.document.body.append(element)
        })
      inside.importScripts = (...scripts) =>
        scripts.reduce((earlier, script) => earlier.then(() => load(script)), Promise.resolve())
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.ready = load(address).then(() => inside)
    }
    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
