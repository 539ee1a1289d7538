// An editor of a query in PromQL: completes names, marks the place of an error, hands over the text.
const WORD = /[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SHOWN = 12

// What may stand at the caret: nothing within a text or a comment, labels within braces and behind
// by, without, on ... ; else metrics and functions. Read from the start, since quotes hide brackets.
function expected(before) {
  const open = []
  let quote = ""
  for (let at = 0; at < before.length; at += 1) {
    const sign = before[at]
    if (quote) {
      if (sign === "\\" && quote !== "`") at += 1
      else if (sign === quote) quote = ""
    } else if ("\"'`".includes(sign)) quote = sign
    else if (sign === "#") {
      const end = before.indexOf("\n", at)
      if (end < 0) return "nothing"
      at = end
    } else if (sign === "{" || sign === "[") open.push(sign)
    else if (sign === "(") {
      const of = /\b(by|without|on|ignoring|group_left|group_right)\s*$/i.test(before.slice(0, at))
      open.push(of ? "labels" : "(")
    } else if (")]}".includes(sign)) open.pop()
  }
  if (quote) return "nothing"
  const within = open[open.length - 1]
  if (within === "[") return "nothing"
  return within === "{" || within === "labels" ? "labels" : "metrics"
}

function matching(names, word) {
  const wanted = word.toLowerCase()
  const begin = []
  const contain = []
  for (const name of names) {
    const place = name.toLowerCase().indexOf(wanted)
    if (place === 0) begin.push(name)
    else if (place > 0) contain.push(name)
    if (begin.length >= SHOWN) break
  }
  const found = [...begin, ...contain].slice(0, SHOWN)
  return found.length === 1 && found[0] === word ? [] : found
}

// Where a line and a column, both from 1, stand in a text.
function placed(text, mark) {
  const lines = text.split("\n")
  if (!mark || mark.line > lines.length) return -1
  const start = lines.slice(0, mark.line - 1).reduce((sum, line) => sum + line.length + 1, 0)
  return start + Math.min(mark.column - 1, lines[mark.line - 1].length)
}

function build(parentElement) {
  const element = (name, className, parent) => {
    const made = document.createElement(name)
    made.className = className
    parent.append(made)
    return made
  }
  const root = element("div", "editor", parentElement)
  const label = element("label", "label", root)
  label.textContent = "Query"
  label.htmlFor = "promql-text"
  const field = element("div", "field", root)
  const behind = element("pre", "behind", field)
  behind.setAttribute("aria-hidden", "true")
  const area = element("textarea", "text", field)
  const list = element("ul", "list", field)
  const row = element("div", "row", root)
  const run = element("button", "run", row)
  const hint = element("p", "hint", row)
  area.id = "promql-text"
  area.rows = 3
  area.maxLength = 4000
  area.spellcheck = false
  for (const name of ["autocomplete", "autocapitalize", "autocorrect"]) area.setAttribute(name, "off")
  area.setAttribute("aria-autocomplete", "list")
  area.setAttribute("aria-controls", "promql-list")
  area.setAttribute("aria-describedby", "promql-hint")
  list.id = "promql-list"
  list.hidden = true
  list.setAttribute("role", "listbox")
  list.setAttribute("aria-label", "Names that fit")
  hint.id = "promql-hint"
  hint.textContent = "PromQL. Names are offered while you type; Ctrl and Enter runs it."
  run.type = "button"
  run.textContent = "Run"
  return { root, behind, area, list, run, found: [], chosen: 0 }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const fresh = !parentElement.promql
  const it = (parentElement.promql ??= build(parentElement))
  // The newest of both, for listeners that were put on once.
  it.data = data
  it.ask = () => setTriggerValue("asked", it.area.value)

  const draw = () => {
    const at = it.area.value === it.data.text ? placed(it.area.value, it.data.mark) : -1
    it.behind.replaceChildren()
    it.area.setAttribute("aria-invalid", String(at >= 0))
    if (at < 0) return
    const mark = document.createElement("mark")
    // At the end of a line there is nothing to mark: a blank stands for it.
    const sign = it.area.value[at]
    mark.textContent = sign === undefined || sign === "\n" ? " " : sign
    const rest = sign === undefined || sign === "\n" ? at : at + 1
    it.behind.append(it.area.value.slice(0, at), mark, it.area.value.slice(rest))
  }
  const close = () => {
    it.found = []
    it.list.hidden = true
    it.area.removeAttribute("aria-activedescendant")
  }
  const point = (to) => {
    it.chosen = (to + it.found.length) % it.found.length
    for (const [index, line] of [...it.list.children].entries()) {
      line.setAttribute("aria-selected", String(index === it.chosen))
      if (index === it.chosen) line.scrollIntoView({ block: "nearest" })
    }
    it.area.setAttribute("aria-activedescendant", `promql-${it.chosen}`)
  }
  const take = (index) => {
    const caret = it.area.selectionStart
    const word = WORD.exec(it.area.value.slice(0, caret))?.[0] ?? ""
    const name = it.found[index]
    it.area.setRangeText(name, caret - word.length, caret, "end")
    close()
    draw()
    it.area.focus()
  }
  const offer = (always) => {
    const before = it.area.value.slice(0, it.area.selectionStart)
    const word = WORD.exec(before)?.[0] ?? ""
    const names = { metrics: it.data.metrics, labels: it.data.labels, nothing: [] }
    close()
    if (!word && !always) return
    it.found = matching(names[expected(before.slice(0, before.length - word.length))], word)
    if (!it.found.length) return
    it.list.replaceChildren(
      ...it.found.map((name, index) => {
        const line = document.createElement("li")
        line.id = `promql-${index}`
        line.textContent = name
        line.setAttribute("role", "option")
        line.addEventListener("mousedown", (event) => {
          event.preventDefault() // the caret stays where it is
          take(index)
        })
        return line
      }),
    )
    it.list.hidden = false
    point(0)
  }

  if (fresh) {
    it.area.addEventListener("input", () => {
      draw()
      offer(false)
    })
    it.area.addEventListener("blur", close)
    it.area.addEventListener("scroll", () => {
      it.behind.scrollTop = it.area.scrollTop
    })
    it.area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) it.ask()
      else if (event.key === " " && event.ctrlKey) offer(true)
      else if (!it.found.length) return
      else if (event.key === "ArrowDown") point(it.chosen + 1)
      else if (event.key === "ArrowUp") point(it.chosen - 1)
      else if (event.key === "Enter" || event.key === "Tab") take(it.chosen)
      else if (event.key === "Escape") close()
      else return
      event.preventDefault()
    })
    it.run.addEventListener("click", () => it.ask())
  }
  // What is being typed is not the page's to replace, unless the page has another query now.
  if (fresh || it.given !== data.text) it.area.value = data.text
  it.given = data.text
  draw()
}
