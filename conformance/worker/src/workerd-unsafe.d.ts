declare module "workerd:unsafe" {
	const unsafe: object;
	export default unsafe;
}
