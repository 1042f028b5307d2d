--  What UUIDs say about themselves.

with Ada.Containers.Indefinite_Vectors;
with Ada.Containers.Vectors;
with Ada.Strings.Unbounded; use Ada.Strings.Unbounded;

package Uuids is

   type Column is (Uuid, Variant, Kind, Time);

   type Row is array (Column) of Unbounded_String;
   --  A cell is empty where there is nothing to say.

   package Row_Vectors is new Ada.Containers.Vectors (Positive, Row);
   subtype Row_List is Row_Vectors.Vector;

   package Word_Vectors is new Ada.Containers.Indefinite_Vectors (Positive, String);
   subtype Word_List is Word_Vectors.Vector;

   function Describe (Word : String) return Row;

   procedure Split (Input : String; Words : in out Word_List);

end Uuids;
