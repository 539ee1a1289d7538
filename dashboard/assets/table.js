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
  // The roles are said aloud because a narrow screen lays rows out as blocks, and a browser then no
  // longer takes them for a table's.
  const withRole = (made, role) => {
    made.setAttribute("role", role)
    return made
  }
  const table = withRole(element("table"), "table")
  table.append(element("caption", "", data.caption))
  const head = withRole(element("tr"), "row")
  for (const column of data.columns) {
    const cell = withRole(element("th", column.kind, column.label), "columnheader")
    cell.scope = "col"
    head.append(cell)
  }
  const thead = withRole(element("thead"), "rowgroup")
  thead.append(head)

  const bodies = []
  const begin = (name) => {
    const body = withRole(element("tbody"), "rowgroup")
    bodies.push(body)
    if (!name) return body
    const many = data.rows.filter((row) => row[data.group] === name).length
    const button = element("button", "", `${name} (${many})`)
    const fold = (folded) => {
      body.classList.toggle("folded", folded)
      button.setAttribute("aria-expanded", String(!folded))
    }
    button.type = "button"
    button.addEventListener("click", () => fold(!body.classList.contains("folded")))
    fold(matchMedia("(max-width: 40rem)").matches)
    const cell = withRole(element("th"), "rowheader")
    cell.colSpan = data.columns.length
    cell.scope = "rowgroup"
    cell.append(button)
    const line = withRole(element("tr", "group"), "row")
    line.append(cell)
    body.append(line)
    return body
  }
  let body
  let named
  for (const row of data.rows) {
    const name = row[data.group] ?? ""
    if (!body || name !== named) body = begin((named = name))
    const line = withRole(element("tr", data.opens ? "opens" : ""), "row")
    data.columns.forEach((column, index) => {
      const text = row[column.key] ?? ""
      const cell = withRole(
        element(index === 0 ? "th" : "td", column.kind),
        index === 0 ? "rowheader" : "cell",
      )
      if (index === 0) cell.scope = "row"
      cell.dataset.label = column.label
      const title = row[column.title] ?? (text.length > 28 ? text : "")
      if (title) cell.title = title
      if (text === "–") cell.classList.add("none")
      if (index === 0 && data.opens) {
        const button = element("button", "", text)
        button.type = "button"
        cell.append(button)
      } else if (column.kind === "badge") {
        cell.append(element("span", `state ${data.tones[text] ?? "gray"}`, text))
      } else {
        cell.textContent = text
      }
      line.append(cell)
    })
    if (data.opens) line.addEventListener("click", () => setTriggerValue("opened", row.id))
    body.append(line)
  }
  if (!body) begin("")
  table.append(thead, ...bodies)
  wrap.append(table)
  if (before) before.replaceWith(wrap)
  else parentElement.append(wrap)
}
