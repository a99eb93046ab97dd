import { useQuery } from "@tanstack/react-query";
import { me } from "../api/queries";
import { users } from "./queries";

/** Who the numbers are: everybody for administrators, for others themselves. */
export function usePeople(): { id: number; name: string }[] {
  const { data } = useQuery(me);
  const everybody = useQuery({ ...users, enabled: data?.role === "admin" });
  const known = everybody.data?.users ?? (data?.user ? [data.user] : []);
  return known.map((user) => ({ id: user.id, name: user.full_name ?? user.username }));
}

/** A person's name, or the number where it may not be known. */
export function useNameOf(): (id: number | null) => string {
  const people = usePeople();
  return (id) => (id === null ? "—" : (people.find((one) => one.id === id)?.name ?? `#${id}`));
}
