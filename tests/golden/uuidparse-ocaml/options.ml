(* The command line, read as getopt does. *)

exception Told of string
exception Failed of string

type settings = {
  json : bool;
  raw : bool;
  no_headings : bool;
  list : string option;
  operands : string list;
}

let help = {|
Usage:
 uuidparse [options] <uuid ...>

Options:
 -J, --json             use JSON output format
 -n, --noheadings       don't print headings
 -o, --output <list>    COLUMNS to display (see below)
 -r, --raw              use the raw output format
 -h, --help             display this help
 -V, --version          display version

Available output columns:
     UUID  unique identifier
  VARIANT  variant name
     TYPE  type name
     TIME  timestamp

For more details see uuidparse(1).
|}

let most_columns = 8

let long =
  [ ("json", 'J'); ("noheadings", 'n'); ("output", 'o'); ("raw", 'r'); ("version", 'V'); ("help", 'h') ]

let fail text = raise (Failed ("uuidparse: " ^ text ^ "\n"))
let fail_with_hint text = fail (text ^ "\nTry 'uuidparse --help' for more information.")

let find word =
  let prefix = List.hd (String.split_on_char '=' word) in
  match List.find_opt (fun (name, _) -> name = prefix) long with
  | Some exact -> exact
  | None -> (
      match List.filter (fun (name, _) -> String.starts_with ~prefix name) long with
      | [] -> fail_with_hint ("unrecognized option '--" ^ word ^ "'")
      | [ only ] -> only
      | several ->
          let names = List.map (fun (name, _) -> " '--" ^ name ^ "'") several in
          fail_with_hint ("option '--" ^ word ^ "' is ambiguous; possibilities:" ^ String.concat "" names))

let take settings letter value =
  let settings =
    match letter with
    | 'J' -> { settings with json = true }
    | 'r' -> { settings with raw = true }
    | 'n' -> { settings with no_headings = true }
    | 'o' -> { settings with list = Some value }
    | 'h' -> raise (Told help)
    | _ -> raise (Told "uuidparse from util-linux 2.41.5\n")
  in
  if settings.json && settings.raw then fail "mutually exclusive arguments: --json --raw";
  settings

let after text at = String.sub text at (String.length text - at)

let rec walk posix settings = function
  | [] -> settings
  | "--" :: rest -> { settings with operands = List.rev_append rest settings.operands }
  | word :: rest when String.starts_with ~prefix:"--" word -> (
      let name, letter = find (after word 2) in
      match (String.index_opt word '=', letter, rest) with
      | Some at, 'o', _ -> walk posix (take settings 'o' (after word (at + 1))) rest
      | Some _, _, _ -> fail_with_hint ("option '--" ^ name ^ "' doesn't allow an argument")
      | None, 'o', value :: rest -> walk posix (take settings 'o' value) rest
      | None, 'o', [] -> fail_with_hint ("option '--" ^ name ^ "' requires an argument")
      | None, _, _ -> walk posix (take settings letter "") rest)
  | word :: rest when String.length word > 1 && word.[0] = '-' ->
      let settings, rest = letters settings word 1 rest in
      walk posix settings rest
  | word :: rest when posix -> { settings with operands = List.rev_append rest (word :: settings.operands) }
  | word :: rest -> walk posix { settings with operands = word :: settings.operands } rest

(* The letters of one word from `at` on; gives back the words that are left. *)
and letters settings word at rest =
  if at = String.length word then (settings, rest)
  else
    match (word.[at], after word (at + 1), rest) with
    | 'o', "", [] -> fail_with_hint "option requires an argument -- 'o'"
    | 'o', "", value :: rest -> (take settings 'o' value, rest)
    | 'o', value, _ -> (take settings 'o' value, rest)
    | (('J' | 'n' | 'r' | 'V' | 'h') as letter), _, _ -> letters (take settings letter "") word (at + 1) rest
    | letter, _, _ -> fail_with_hint (Printf.sprintf "invalid option -- '%c'" letter)

let read words =
  let settings = { json = false; raw = false; no_headings = false; list = None; operands = [] } in
  let settings = walk (Sys.getenv_opt "POSIXLY_CORRECT" <> None) settings words in
  { settings with operands = List.rev settings.operands }

(* The columns of a list. An empty name and too many columns end the program without a word. *)
let columns list =
  let silent () = raise (Failed "") in
  let append = String.starts_with ~prefix:"+" list in
  let list = if append then after list 1 else list in
  let length = String.length list in
  if length = 0 then silent ();
  let rec go chosen begins at =
    if at = length then List.rev chosen
    else if List.length chosen >= most_columns then silent ()
    else
      (* A comma that ends the list belongs to the last name. *)
      let ends = if at + 1 = length then at + 1 else if list.[at] = ',' then at else -1 in
      if ends < 0 then go chosen begins (at + 1)
      else if ends = begins then silent ()
      else
        let name = String.uppercase_ascii (String.sub list begins (ends - begins)) in
        match List.find_index (fun (column, _) -> column = name) Print.columns with
        | Some index -> go (index :: chosen) (at + 1) (at + 1)
        | None -> fail ("unknown column: " ^ after list begins)
  in
  go (if append then [ 3; 2; 1; 0 ] else []) 0 0
