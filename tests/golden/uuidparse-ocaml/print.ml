(* Tables, raw lines and JSON. *)

(* Name of each column, and the width that it gets when its data are narrower. *)
let columns = [ ("UUID", 37); ("VARIANT", 9); ("TYPE", 10); ("TIME", 31) ]
let name column = fst (List.nth columns column)

let json_string = function
  | None -> "null"
  | Some cell ->
      let out = Buffer.create 64 in
      let add = function
        | ('"' | '\\') as c -> Printf.bprintf out "\\%c" c
        | '\b' -> Buffer.add_string out "\\b"
        | '\t' -> Buffer.add_string out "\\t"
        | '\n' -> Buffer.add_string out "\\n"
        | '\012' -> Buffer.add_string out "\\f"
        | '\r' -> Buffer.add_string out "\\r"
        | c when c < ' ' -> Printf.bprintf out "\\u%04x" (Char.code c)
        | c -> Buffer.add_char out c
      in
      String.iter add cell;
      "\"" ^ Buffer.contents out ^ "\""

let json rows chosen =
  let field row column = Printf.sprintf "         \"%s\": %s" (String.lowercase_ascii (name column)) (json_string row.(column)) in
  let item row = "{\n" ^ String.concat ",\n" (List.map (field row) chosen) ^ "\n      }" in
  let indent = if rows = [] then "" else "      " in
  print_string ("{\n   \"uuids\": [\n" ^ indent ^ String.concat "," (List.map item rows) ^ "\n   ]\n}\n")

let escaped ~raw cell =
  let out = Buffer.create 64 in
  let add at c =
    let backslash = c = '\\' && (raw || (at + 1 < String.length cell && cell.[at + 1] = 'x')) in
    if c < ' ' || c > '~' || backslash || (raw && c = ' ') then Printf.bprintf out "\\x%02x" (Char.code c)
    else Buffer.add_char out c
  in
  String.iteri add cell;
  Buffer.contents out

let lines rows chosen ~headings ~raw =
  if rows <> [] then begin
    let cells row = List.map (fun column -> escaped ~raw (Option.value row.(column) ~default:"")) chosen in
    let lines = List.map cells rows in
    let last = List.length chosen - 1 in
    let width at column =
      let heading = if headings then String.length (name column) else 0 in
      let widest = List.fold_left (fun most line -> max most (String.length (List.nth line at))) 0 lines in
      if raw || at = last then 0
      else if widest = 0 || widest < heading then heading
      else max widest (snd (List.nth columns column))
    in
    let widths = List.mapi width chosen in
    let pad width cell = cell ^ String.make (max 0 (width - String.length cell)) ' ' in
    let print line =
      print_string (String.concat " " (List.map2 pad widths line));
      print_char '\n'
    in
    if headings then print (List.map name chosen);
    List.iter print lines
  end
