class CreateBooks < ActiveRecord::Migration[6.1]
  def change
    create_table(:authors) { |t| t.string :name, null: false }
    create_table(:books) do |t|
      t.references :author, null: false, foreign_key: { on_delete: :cascade }
      t.string :title, null: false, index: { unique: true }
      t.jsonb :facts, null: false, default: {}
      t.text :tags, array: true, null: false, default: []
      t.timestamps
    end
  end
end
