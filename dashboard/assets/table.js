// Draws a table from data, as text only, and reports which row was opened.
export default function ({ parentElement, data, setTriggerValue }) {
  const signature = JSON.stringify(data)
  const before = parentElement.querySelector(".wrap")
  // A live page sends the same rows again and again: leave focus and scroll where they are.
  if (before && before.dataset.signature === signature) return
  const element = (name, className, text) => {
    const made = document.createElement(name)
    if (className) made.className = className
    if (text !== undefined) made.textContent = text
    return made
  }

  const wrap = element("div", "wrap")
  wrap.dataset.signature = signature
  wrap.tabIndex = 0
  wrap.setAttribute("role", "region")
  wrap.setAttribute("aria-label", data.caption)
  const table = element("table")
  table.append(element("caption", "", data.caption))
  const head = element("tr")
  for (const column of data.columns) {
    const cell = element("th", column.kind, column.label)
    cell.scope = "col"
    head.append(cell)
  }
  const thead = element("thead")
  thead.append(head)

  const body = element("tbody")
  for (const row of data.rows) {
    const line = element("tr", data.opens ? "opens" : "")
    data.columns.forEach((column, index) => {
      const text = row[column.key] ?? ""
      const cell = element(index === 0 ? "th" : "td", column.kind)
      if (index === 0) cell.scope = "row"
      if (index === 0 && data.opens) {
        const button = element("button", "", text)
        button.type = "button"
        cell.append(button)
      } else if (column.kind === "badge") {
        cell.append(element("span", `state ${data.tones[text] ?? "gray"}`, text))
      } else {
        cell.textContent = text
        if (text.length > 28) cell.title = text
      }
      line.append(cell)
    })
    if (data.opens) line.addEventListener("click", () => setTriggerValue("opened", row.id))
    body.append(line)
  }
  table.append(thead, body)
  wrap.append(table)
  if (before) before.replaceWith(wrap)
  else parentElement.append(wrap)
}
