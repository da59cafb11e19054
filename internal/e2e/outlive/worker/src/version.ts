// A deploy writes another number here.
export const version = 0;
