// Puts untrusted HTML into a frame that may do nothing: an empty sandbox attribute.
export default function ({ parentElement, data }) {
  const before = parentElement.querySelector("iframe")
  if (before && before.srcdoc === data.document) return
  const frame = document.createElement("iframe")
  frame.setAttribute("sandbox", "")
  frame.referrerPolicy = "no-referrer"
  frame.title = data.title
  frame.style.height = `${data.height}px`
  frame.srcdoc = data.document
  if (before) before.replaceWith(frame)
  else parentElement.append(frame)
}
