// The values of the one slice of a stack that the viewer asks for. A component of its own, because the viewer's
// would be sent the whole stack again.

// Outlives the module, which a new session loads again.
const line = (window.bratValues ??= { isListening: false });

export default function ({ data: [of, index, values], setTriggerValue }) {
  line.ask = (wanted) => setTriggerValue("wanted", wanted);
  if (index !== null) document.dispatchEvent(new CustomEvent("brat-values", { detail: { of, index, values } }));
  if (line.isListening) return;
  line.isListening = true;
  document.addEventListener("brat-values-wanted", ({ detail }) => line.ask(detail));
}
