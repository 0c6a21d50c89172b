class AddSold < ActiveRecord::Migration[6.1]
  def change
    add_column :books, :sold, :integer, null: false, default: 0
    add_index :books, [:author_id, :title], name: "book_by_author"
    add_check_constraint :books, "sold <= 1000", name: "sold_few"
  end
end
