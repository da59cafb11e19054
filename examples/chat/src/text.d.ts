// What the Text rule of wrangler.jsonc makes of the page's files.
declare module "*.html" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.svg" {
  const text: string;
  export default text;
}
declare module "*/page/chat.js" {
  const text: string;
  export default text;
}
