/*
 * A page that chats in a loop. What it must not see it reports to its object, by
 * opening another socket with the complaint for a name.
 */
export const page = `<!doctype html>
<title>outlive</title>
<output id="count"></output>
<script>
  const open = (name) => new WebSocket("ws://" + location.host + "/page?kind=page&name=" + encodeURIComponent(name));
  const complain = (what) => open("complaint: " + what);
  const ws = open("page");
  let said = 0;
  let heard = 0;
  let patience;
  const say = () => {
    ws.send(String(++said));
    clearTimeout(patience);
    patience = setTimeout(say, 3000); // a killed process may have begun it
  };
  ws.onopen = say;
  ws.onclose = (event) => complain("closed with " + event.code);
  ws.onerror = () => complain("an error");
  ws.onmessage = (event) => {
    const n = parseInt(event.data, 10);
    if (n <= heard || n > said) complain(event.data + " after " + heard);
    heard = n;
    document.getElementById("count").textContent = String(n);
    if (n === said) setTimeout(say, 5);
  };
  addEventListener("error", (event) => complain(event.message));
</script>`;
