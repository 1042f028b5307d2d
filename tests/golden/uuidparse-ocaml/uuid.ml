(* What UUIDs say about themselves. *)

(* From 1582-10-15 to 1970-01-01, in units of 100 ns. *)
let gregorian = 0x01B21DD213814000L

let types =
  [| "unknown"; "time-based"; "DCE"; "name-based"; "random"; "sha1-based"; "time-v6"; "time-v7"; "vendor" |]

(* Days from 1970-01-01 to a date. *)
let days year month day =
  let year, month = if month <= 2 then (year - 1, month + 12) else (year, month) in
  (365 * year) + (year / 4) - (year / 100) + (year / 400) + (((153 * (month - 3)) + 2) / 5) + day - 719469

let moment seconds micros =
  let local = Unix.localtime (float_of_int seconds) in
  let year = local.tm_year + 1900 and month = local.tm_mon + 1 in
  let clock = (3600 * local.tm_hour) + (60 * local.tm_min) + local.tm_sec in
  (* Unix.tm does not hold the offset: it is what the local clock is ahead. *)
  let offset = (86400 * days year month local.tm_mday) + clock - seconds in
  (* The sign is that of the hours: it is lost when they are zero. *)
  let sign = if offset <= -3600 then '-' else '+' in
  let offset = abs offset in
  Printf.sprintf "%04d-%02d-%02d %02d:%02d:%02d,%06d%c%02d:%02d" year month local.tm_mday local.tm_hour local.tm_min
    local.tm_sec micros sign (offset / 3600) (offset / 60 mod 60)

let ticks count =
  let count = Int64.sub count gregorian in
  let part = Int64.to_int (Int64.unsigned_rem count 10_000_000L) in
  moment (Int64.to_int (Int64.unsigned_div count 10_000_000L)) (part / 10)

let is_dash at = at = 8 || at = 13 || at = 18 || at = 23

(* The two halves of the number. *)
let parse word =
  let hexadecimal = function '0' .. '9' | 'a' .. 'f' | 'A' .. 'F' -> true | _ -> false in
  let fits = ref (String.length word = 36) in
  String.iteri (fun at c -> if not (if is_dash at then c = '-' else hexadecimal c) then fits := false) word;
  if not !fits then None
  else
    let digits = String.concat "" (String.split_on_char '-' word) in
    Some (Int64.of_string ("0x" ^ String.sub digits 0 16), Int64.of_string ("0x" ^ String.sub digits 16 16))

(* The four cells of a row; None where there is nothing to say. *)
let describe word =
  let name = if word = "" then None else Some word in
  match parse word with
  | None -> [| name; Some "invalid"; Some "invalid"; Some "invalid" |]
  | Some (first, second) -> (
      let bits value from count =
        Int64.to_int (Int64.logand (Int64.shift_right_logical value from) (Int64.pred (Int64.shift_left 1L count)))
      in
      match bits second 60 4 with
      | top when top < 8 -> [| name; Some "NCS"; None; None |]
      | top when top >= 14 -> [| name; Some "other"; None; None |]
      | top when top >= 12 -> [| name; Some "Microsoft"; None; None |]
      | _ ->
          let version = bits first 12 4 in
          let high = bits first 32 32 and middle = bits first 16 16 and low = bits first 0 12 in
          let time =
            match version with
            | 1 -> Some (ticks (Int64.of_int ((low lsl 48) lor (middle lsl 32) lor high)))
            | 6 -> Some (ticks (Int64.of_int ((high lsl 28) lor (middle lsl 12) lor low)))
            | 7 ->
                let millis = bits first 16 48 in
                Some (moment (millis / 1000) (millis mod 1000 * 1000))
            | _ -> None
          in
          let kind = if version < Array.length types then types.(version) else "unknown" in
          [| name; Some "DCE"; Some kind; time |])

(* At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count. *)
let words input =
  let length = String.length input in
  let rec go words at =
    if at < length && String.contains " \t\n\011\012\r" input.[at] then go words (at + 1)
    else
      let ends = ref at in
      while !ends < length && !ends - at < 36 && not (String.contains " \t\n" input.[!ends]) do
        incr ends
      done;
      if !ends >= length then List.rev words
      else
        let word = List.hd (String.split_on_char '\000' (String.sub input at (!ends - at))) in
        go (word :: words) (!ends + 1)
  in
  go [] 0
